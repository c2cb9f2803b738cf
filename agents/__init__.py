"""Everything that acts: controllers, learning, evaluation, watching."""

from typing import TYPE_CHECKING

from rollouts.lazy import lazily

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.controller import LinearController
    from agents.evaluation import evaluate

__all__ = ["Agent", "LinearController", "evaluate"]
__getattr__ = lazily(
    __name__,
    {"Agent": "agents.agent", "LinearController": "agents.controller", "evaluate": "agents.evaluation"},
)
