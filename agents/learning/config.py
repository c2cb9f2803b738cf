"""How a controller is evolved: all its options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agents.controller import ControllerSpec
from agents.fitness import DreamTask
from agents.learning.strategies import StrategyName
from agents.standardiser import Standardiser
from rollouts.errors import UserError, require_positive
from worldmodels.dream import StartKind
from worldmodels.training.precision import Precision
from worldmodels.world_model import WorldModel


@dataclass(frozen=True)
class ControllerConfig:
    """How to evolve C. The defaults are the paper's for CarRacing."""

    world: Literal["real", "dream"] = "real"
    """Where fitness is measured."""
    spec: ControllerSpec = field(default_factory=ControllerSpec)
    """What the controller sees, and its size."""
    generations: int = 1800
    """Generations. May be raised later to evolve on."""
    population: int = 64
    """Candidates per generation."""
    rollouts: int = 16
    """Episodes per candidate, the same ones for all candidates of a generation."""
    ranked: bool = False
    """Fitness is the mean rank among the candidates in each episode, not the mean return: a disaster in one of them
    weighs no more than coming last."""
    racing: float | None = None
    """After every episode only this share of the candidates that played it, the better one, plays the next."""
    sigma: float = 0.1
    """Initial step size."""
    strategy: StrategyName = "cma"
    """CMA-ES with a full or ('sep-cma') a diagonal covariance, or PGPE with ClipUp."""
    max_speed: float | None = None
    """PGPE: longest step of the mean. Default: a fifteenth of sigma times the root of the number of weights."""
    principal: int | None = None
    """Search along so many principal directions of what the controller sees, all scaled to be equally loud, instead of
    along every weight."""
    restarts: int = 0
    """First evolve so many controllers for a while, each from its own seed, and go on with the best validated one."""
    restart_generations: int = 20
    """Generations of each of them."""
    centred: bool = False
    """Search along weights on what the controller sees less its mean: a random step of a weight is then no constant
    turn of the wheel. What is found is written out as weights on what it sees."""
    whitening: float = 1.0
    """How far principal directions are made equally loud: 1 altogether, 0 leaves the loud ones as loud as they are."""
    max_steps: int = 1000
    """Steps per episode, in the real world and in the dream."""
    patience: int | None = None
    """Real world: end an episode after so many steps without a positive reward. Fitness only."""
    temperature: float = 1.0
    """Dream: tau. Above 1 makes the dream harder to exploit."""
    dropout: float = 0.0
    """Dream: share of M's output units that an episode does without, drawn anew for each."""
    precision: Precision = "auto"
    """Dream: what M multiplies in; auto takes bfloat16 where this device is faster in it, and keeps that."""
    starts: StartKind = "any"
    """Dream: begin at 'episode' starts, at 'recorded' moments in their middle, or at 'any'."""
    average: int = 1
    """The agent is the distribution's mean, averaged over so many generations: their noise cancels out. May be raised
    later to evolve on."""
    validation_every: int = 25
    """Generations between scores of that mean in the real world."""
    validation_episodes: int = 16
    """Episodes of such a score."""
    lanes_per_task: int = 16
    """Real episodes that one worker runs side by side."""
    seed: int = 0
    """Decides candidates and episodes."""

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        positive = (
            "generations",
            "rollouts",
            "sigma",
            "max_steps",
            "average",
            "validation_every",
            "validation_episodes",
            "lanes_per_task",
            "restart_generations",
        )
        require_positive(self, positive, "controller.")
        if self.population < 4:
            raise UserError(f"Evolution needs a population of at least 4, got {self.population}.")
        if self.restarts < 0 or self.restarts == 1:
            raise UserError(f"--controller.restarts must be 0 or at least 2, to choose among, got {self.restarts}.")
        if self.racing is not None and (not 0 < self.racing < 1 or self.rollouts < 2 or self.ranked):
            raise UserError(
                f"--controller.racing must lie between 0 and 1, needs two rollouts, and ranks by itself: got "
                f"{self.racing} with {self.rollouts} rollouts{' and --controller.ranked' if self.ranked else ''}."
            )
        if self.strategy == "pgpe" and self.population % 2:
            raise UserError(f"PGPE draws candidates in pairs: the population must be even, got {self.population}.")
        if self.centred and (self.spec.hidden or not self.spec.bias or self.principal is not None):
            raise UserError("--controller.centred is for a linear controller with a bias; principal directions are so.")
        if self.principal is not None and self.spec.hidden:
            raise UserError("Only a controller without a hidden layer can be evolved along principal directions.")
        if self.spec.standardised and not self.spec.bias:
            raise UserError("Standardised features need --controller.spec.bias: their means are taken off.")
        if (self.principal is not None or self.centred) and (self.spec.standardised or "a" in self.spec.features):
            raise UserError("Principal and centred are of plain z, c and h: no standardised features, no action.")
        if self.seed < 0:
            raise UserError(f"--controller.seed cannot be negative, got {self.seed}.")
        if self.temperature < 0:
            raise UserError(f"The temperature cannot be negative, got {self.temperature}.")
        if not 0 <= self.whitening <= 1:
            raise UserError(f"--controller.whitening must be between 0 and 1, got {self.whitening}.")
        if self.max_speed is not None and self.max_speed <= 0:
            raise UserError(f"--controller.max-speed must be positive, got {self.max_speed}.")
        if not 0 <= self.dropout < 1:
            raise UserError(f"--controller.dropout must be at least 0 and below 1, got {self.dropout}.")
        if self.patience is not None and self.patience < 1:
            raise UserError(f"--controller.patience must be at least one step, got {self.patience}.")

    def dream(self, model: WorldModel, standardiser: Standardiser | None = None) -> DreamTask:
        """The dream that these options ask for."""
        return DreamTask(
            model, self.spec, self.temperature, self.max_steps, self.starts, self.dropout, standardiser
        )
