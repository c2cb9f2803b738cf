"""Everything that acts: controllers, evolution, evaluation, watching."""

from agents.agent import Agent
from agents.controller import LinearController
from agents.evaluation import evaluate

__all__ = ["Agent", "LinearController", "evaluate"]
