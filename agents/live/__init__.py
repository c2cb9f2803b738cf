"""The live page: watch, play and explore an agent in a browser."""

from agents.live.server import ServeConfig, serve
from agents.live.session import Session

__all__ = ["ServeConfig", "Session", "serve"]
