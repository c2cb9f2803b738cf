"""A folder that dreams: V's decoder, M and C in a browser, with no server behind them. Image models, too."""

from agents.export_page.agent import STARTS, describe_agent
from agents.export_page.folder import write_page
from agents.export_page.images import describe_images

__all__ = ["STARTS", "describe_agent", "describe_images", "write_page"]
