"""Evolution: ask a strategy for candidates, run them all on the same few episodes, tell their returns.

Fitness is the only thing that a strategy depends on, so ``history.jsonl`` alone can bring it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.controller import ControllerSpec
from agents.learning.base import Strategy, centred_ranks
from agents.learning.learner import Array, Progress, Task, World
from agents.learning.racing import episodes_of, places, race
from agents.learning.strategies import StrategyName, make_strategy
from agents.learning.subspace import Subspace, centred_weights, principal_weights
from rollouts.errors import UserError, require_positive
from rollouts.runs.files import file_hash
from rollouts.seeds import evolution_seed
from worldmodels.training.checkpoint import load_tensors, save_tensors


@dataclass(frozen=True)
class EvolutionConfig:
    """How C is evolved. The defaults are the paper's for CarRacing."""

    worlds: ClassVar[Sequence[str]] = ("real", "dream")
    strategy: StrategyName = "cma"
    """Evolution: CMA-ES with a full or ('sep-cma') a diagonal covariance, or PGPE with ClipUp."""
    population: int = 64
    """Evolution: candidates per generation."""
    rollouts: int = 16
    """Evolution: episodes per candidate, the same ones for all candidates of a generation."""
    ranked: bool = False
    """Evolution: fitness is the mean rank among the candidates in each episode, not the mean return: a disaster in one
    of them weighs no more than coming last."""
    sigma: float = 0.1
    """Evolution: initial step size."""
    max_speed: float | None = None
    """PGPE: longest step of the mean. Default: a fifteenth of sigma times the root of the number of weights."""
    principal: int | None = None
    """Evolution: search along so many principal directions of what the controller sees, all scaled to be equally loud,
    instead of along every weight."""
    centred: bool = False
    """Evolution: search along weights on what the controller sees less its mean: a random step of a weight is then no
    constant turn of the wheel. What is found is written out as weights on what it sees."""
    whitening: float = 1.0
    """Evolution: how far principal directions are made equally loud: 1 altogether, 0 leaves the loud ones so."""
    racing: float | None = None
    """Evolution: after every episode only this share of the candidates that played it, the better one, plays the
    next."""
    spread: float = 0.0
    """Evolution in the dream: fitness is the mean of what M's members promise, less so many of their standard
    deviations. Needs --mdnrnn.members."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        require_positive(self, ("rollouts", "sigma"), "controller.")
        if self.population < 4:
            raise UserError(f"Evolution needs a population of at least 4, got {self.population}.")
        if self.strategy == "pgpe" and self.population % 2:
            raise UserError(f"PGPE draws candidates in pairs: the population must be even, got {self.population}.")
        if self.racing is not None and (not 0 < self.racing < 1 or self.rollouts < 2 or self.ranked):
            raise UserError(
                f"--controller.racing must lie between 0 and 1, needs two rollouts, and ranks by itself: got "
                f"{self.racing} with {self.rollouts} rollouts{' and --controller.ranked' if self.ranked else ''}."
            )
        if not 0 <= self.whitening <= 1:
            raise UserError(f"--controller.whitening must be between 0 and 1, got {self.whitening}.")
        if self.spread < 0 or (self.spread and (self.racing is not None or self.ranked)):
            raise UserError(
                f"--controller.spread must not be negative, and takes neither racing nor ranks, got {self.spread}."
            )
        limits = tuple(name for name in ("max_speed", "principal") if getattr(self, name) is not None)
        require_positive(self, limits, "controller.")

    def shape(self, spec: ControllerSpec) -> ControllerSpec:
        """C as the options describe it."""
        if self.principal is not None and spec.hidden:
            raise UserError("Only a controller without a hidden layer can be evolved along principal directions.")
        if self.centred and (spec.hidden or not spec.bias or self.principal is not None):
            raise UserError("--controller.centred is for a linear controller with a bias; principal directions are so.")
        if spec.standardised and not spec.bias:
            raise UserError("Standardised features need --controller.spec.bias: their means are taken off.")
        if (self.principal is not None or self.centred) and spec.standardised:
            raise UserError("Principal and centred directions are of plain features, not of standardised ones.")
        return spec

    def decisions(self, max_steps: int) -> int:
        """Of all candidates in all episodes that they play."""
        return episodes_of(self.population, self.rollouts, self.racing) * max_steps

    def begin(self, task: Task) -> Evolution:
        """Over all weights, or along directions: weights on what is seen less its mean, or on its principal ones."""

        def over(start: NDArray[np.float64]) -> Strategy:
            return make_strategy(self.strategy, start, self.sigma, self.population, task.seed, self.max_speed)

        if self.principal is None and not self.centred:
            return Evolution(self, over(task.initial), task.seed)
        file = task.folder / "directions.safetensors"
        if not file.exists():  # kept, because on another machine a direction may come out with the other sign
            assert isinstance(task.spec, ControllerSpec)
            directions = (
                centred_weights(task.model, task.spec)
                if self.principal is None
                else principal_weights(task.model, task.spec, self.principal, self.whitening)
            )
            save_tensors({"directions": torch.tensor(directions)}, file)
        directions = load_tensors(file)["directions"].numpy()
        subspace = Subspace(over(np.zeros(directions.shape[1])), task.initial, directions)
        return Evolution(self, subspace, task.seed, file)


class Evolution:
    """A strategy as a learner of C. Candidates of a generation meet the same luck (common random numbers).

    Args:
        directions: the file of those that it searches along, if not along every weight.
    """

    def __init__(
        self, options: EvolutionConfig, strategy: Strategy, seed: int, directions: Path | None = None
    ) -> None:
        self.options, self.strategy, self.seed, self.directions = options, strategy, seed, directions

    @property
    def weights(self) -> Array:
        return self.strategy.mean

    @property
    def results(self) -> dict[str, Array]:
        """The candidate of highest fitness ever."""
        return {"best": self.strategy.best}

    @property
    def state(self) -> dict[str, Any]:
        own = {} if self.directions is None else {"directions": file_hash(self.directions)}
        return {**_with_tensors(self.strategy.state), **own}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Raises:
        UserError: the directions are not those that were searched along.
        """
        recorded = state.get("directions")
        if self.directions is not None and recorded not in (None, file_hash(self.directions)):
            raise UserError(
                f"{self.directions} is damaged, or of another run. Put back a copy of it, or delete the folder "
                f"{self.directions.parent} to start that stage anew."
            )
        return self.strategy.restore(_with_arrays({name: state[name] for name in state if name != "directions"}))

    def improve(self, world: World, iteration: int) -> Progress:
        """One generation: ask, evaluate, tell."""
        candidates = self.strategy.ask()
        seeds = [evolution_seed(self.seed, iteration, rollout) for rollout in range(self.options.rollouts)]
        played = race(world.evaluate, candidates, seeds, self.options.racing)
        fitness, ranks = fitness_of(played.returns, seeds, world.members, self.options.spread), None
        if not np.isfinite(fitness).all():  # the loop says what is wrong
            return Progress(fitness, played.steps)
        if self.options.racing is not None:
            ranks = places(played.returns)
        elif self.options.ranked:
            ranks = np.mean([centred_ranks(episode) for episode in played.returns.T], axis=0)
        self.strategy.tell(fitness if ranks is None else ranks)
        facts = {} if ranks is None else {"told": ranks.tolist()}
        return Progress(fitness, played.steps, {**facts, "sigma": self.strategy.sigma})

    def repeat(self, record: Mapping[str, Any]) -> bool:
        """Tell again what was told then.

        Raises:
            UserError: it goes another way than the record (another version of pycma, say).
        """
        self.strategy.ask()
        self.strategy.tell(np.array(record.get("told", record["fitness"])))
        if not np.isclose(self.strategy.sigma, record["sigma"], rtol=1e-3):
            raise UserError(
                f"This evolution cannot be continued: at generation {record['generation']} the step size is "
                f"{self.strategy.sigma:.6g} instead of {record['sigma']:.6g}. It was probably run with another "
                "version of the package cma (manifest.json names it); install that one, or start anew."
            )
        return True


def fitness_of(returns: NDArray[np.float64], seeds: Sequence[int], members: int = 1, spread: float = 0.0) -> Array:
    """Fitness ``[C]`` of candidates with returns ``[C, seeds]``, NaN where an episode was not played.

    The mean return; with a spread ``m - spread * s``, ``m`` the mean and ``s`` the standard deviation (of a sample) of
    the mean returns with each member of M, of which number ``seed % members`` dreams an episode. Where members do not
    agree, M does not know, and evolution would go there first, for the one that promises most.

    Raises:
        UserError: a spread is asked for where there is one member, or not an episode for each.
    """
    if not spread:
        return np.asarray(np.nanmean(returns, axis=1))
    of = np.array([seed % members for seed in seeds])
    if members < 2 or len(set(of)) < members:
        raise UserError(
            f"--controller.spread needs an M of several members and an episode with each: M has {members}, and there "
            f"are {len(seeds)} episodes. Fit it with --mdnrnn.members 4, say, or raise --controller.rollouts."
        )
    means = np.stack([returns[:, of == member].mean(1) for member in range(members)], 1)
    return np.asarray(means.mean(1) - spread * means.std(1, ddof=1))


def _with_tensors(tree: Any) -> Any:
    """Arrays as tensors and NumPy's numbers as Python's: what a training state may hold.

    The order in memory stays, because products of matrices differ by it in their last bits.
    """
    if isinstance(tree, dict):
        return {name: _with_tensors(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_with_tensors(value) for value in tree]
    return torch.from_numpy(tree.copy("K")) if isinstance(tree, np.ndarray) else _number(tree)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(tree: Any) -> Any:
    """The other way."""
    if isinstance(tree, dict):
        return {name: _with_arrays(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(value) for value in tree]
    return tree.numpy().copy("K") if isinstance(tree, Tensor) else tree
