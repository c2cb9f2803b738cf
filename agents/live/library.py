"""The agents that a server can show: the one it was started with, those of other runs and rounds, the pretrained."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from agents.agent import Agent, pretrained_agents
from agents.live.recorder import Drives
from rollouts.errors import UserError
from rollouts.runs.layout import PRETRAINED, Run, runs_in

MOST_LOADED = 4  #: agents kept in memory besides the first


@dataclass(frozen=True)
class Loaded:
    """An agent, and where the episodes go that people drive in its world."""

    name: str
    agent: Agent
    drives: Drives


class Library:
    """Agents by name; the first is the one that the server was started with.

    Args:
        runs: the folder that run directories lie in.
        drives: where the first agent's episodes go, if not where :func:`drives_of` says.
    """

    def __init__(self, first: Agent, runs: Path, drives: Drives | None = None) -> None:
        self.runs, self._lock = runs, Lock()
        self.first = Loaded(name_of(first.folder), first, drives or Drives(drives_of(first.folder, runs), first.env))
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()

    def names(self) -> list[str]:
        """Every agent there is now, the first before all others, newer rounds before older."""
        names = dict.fromkeys([self.first.name])
        for run in runs_in(self.runs):
            for one in reversed(run.rounds):
                if _complete(one):
                    names[name_of(one.path)] = None
        return [*(names | dict.fromkeys(pretrained_agents()))]

    def load(self, name: str | None = None) -> Loaded:
        """An agent by its name, from memory where it is there.

        Raises:
            UserError: there is no such agent, or it is damaged.
        """
        if not name or name == self.first.name:
            return self.first
        names = self.names()
        if name.startswith(f"{self.runs.name}/"):  # as commands call it: the newest round of a run
            run = name.partition("/")[2]
            name = next((one for one in names if f"{one}/".startswith(f"{run}/")), name)
        if name == self.first.name:
            return self.first
        if name not in names:
            raise UserError(f"There is no agent {name!r} here any more; choose another one.")
        with self._lock:
            if name not in self._loaded:
                folder = self.runs / name if (self.runs / name).exists() else Run.named(name).path
                agent = Agent.from_folder(folder, self.first.agent.model.device)
                self._loaded[name] = Loaded(name, agent, Drives(drives_of(folder, self.runs), agent.env))
            self._loaded.move_to_end(name)
            while len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
            return self._loaded[name]


def name_of(folder: Path) -> str:
    """``pretrained/NAME``, ``RUN`` or ``RUN/round-3``."""
    beside = PRETRAINED in folder.parents or Run(folder).number
    return f"{folder.parent.name}/{folder.name}" if beside else folder.name


def file_name(folder: Path) -> str:
    """The agent's name as part of a file's name."""
    return f"{folder.parent.name}-{folder.name}" if Run(folder).number else folder.name


def drives_of(folder: Path, runs: Path) -> Path:
    """Where people's episodes go: beside the run's own, or under ``runs`` for an agent that came with the package."""
    if PRETRAINED in folder.parents:
        return runs / f"{folder.name}-human"
    return Run(folder).whole.human.path


def _complete(run: Run) -> bool:
    try:
        return run.controller.complete
    except UserError:  # of another version: not to be had here
        return False
