"""A folder that dreams: V's decoder, M and C in a browser, with no server behind them."""

from agents.export_page.agent import STARTS, describe_agent
from agents.export_page.folder import write_page

__all__ = ["STARTS", "describe_agent", "write_page"]
