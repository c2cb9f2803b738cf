"""How a controller is learned: all its options, and which learners there are."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Literal, cast

from agents.controller import ControllerSpec, Spec
from agents.fitness import DreamTask
from agents.learning.distil import DistilConfig
from agents.learning.dreamer import DreamerConfig
from agents.learning.evolution import EvolutionConfig
from agents.learning.learner import LearnerOptions
from agents.learning.ppo import PPOConfig
from agents.learning.sac import SACConfig
from agents.standardiser import Standardiser
from rollouts.errors import UserError, require_at_least, require_positive, require_seed
from worldmodels.dream import EndKind, FallKind, StartKind
from worldmodels.training.precision import Precision
from worldmodels.world_model import WorldModel

PUPIL_UPDATES = 800  #: of an iteration at least, where critics and replay know more than a few new episodes tell


@dataclass(frozen=True)
class ControllerConfig(EvolutionConfig):
    """How to learn C. The defaults are the paper's for CarRacing.

    Every learner is a field here, whose name is what ``learner`` takes and whose class holds its options and begins
    it. Evolution's own options are inherited: they stand in ``config.json`` and on the command line without a name
    before them, as they always did.
    """

    world: Literal["real", "dream"] = "real"
    """Where fitness is measured."""
    spec: ControllerSpec = field(default_factory=ControllerSpec)
    """What the controller sees, and its size."""
    learner: str = "evolution"
    """What improves C: 'evolution', or one of the learners below that have options of their own."""
    sac: SACConfig = field(default_factory=SACConfig)
    """Soft actor-critic: --controller.learner sac."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Proximal policy optimisation: --controller.learner ppo."""
    dreamer: DreamerConfig = field(default_factory=DreamerConfig)
    """Actor-critic in the dream: --controller.learner dreamer."""
    distil: DistilConfig = field(default_factory=DistilConfig)
    """Imitation of another agent: --controller.learner distil."""
    generations: int = 1800
    """Generations, or iterations of a learner. May be raised later to learn on, and lowered to as many as are done, to
    end there."""
    restarts: int = 0
    """First learn so many controllers for a while, each from its own seed, and go on with the best validated one."""
    restart_generations: int = 20
    """Generations of each of them."""
    teacher: str | None = None
    """Evolution: first let this other learner learn (RUN/teacher), then make C its pupil (RUN/distilled), and evolve
    from there: 'sac', say, in a tenth of the episodes."""
    teacher_generations: int = 100
    """Iterations of that learner."""
    lessons: int = 6
    """Iterations in which C learns from it: imitates it, or, if C is linear and the teacher an SAC, learns by its
    critics."""
    max_steps: int = 1000
    """Steps per episode, in the real world and in the dream."""
    patience: int | None = None
    """Real world: end an episode after so many steps without a positive reward. Fitness only."""
    temperature: float = 1.0
    """Dream: tau. Above 1 makes the dream harder to exploit."""
    dropout: float = 0.0
    """Dream: share of M's output units that an episode does without, drawn anew for each."""
    value: bool = False
    """Dream: add, at its end, what is still to come by what was recorded. Needs an M with --mdnrnn.value."""
    precision: Precision = "auto"
    """Dream: what M multiplies in; auto takes bfloat16 where this device is faster in it, and keeps that."""
    starts: StartKind = "any"
    """Dream: begin at 'episode' starts, at 'recorded' moments in their middle, or at 'any'."""
    ends: EndKind = "cutoff"
    """Dream: an episode ends where M's termination head says more than one half (cutoff, the paper's), or with the
    probability that this stands for (sampled): with --mdnrnn.death-weight 10, one half is 1 in 11, and a dream that is
    cut off there about twice as deadly as the world. 'paid': fitness is minus the sum of these probabilities over
    max_steps, and nothing ends earlier, which is far less noisy."""
    falls: FallKind = "ignored"
    """Dream: what falls of the watched variable do, which M's fall head foresees. 'rolled': they are drawn, their sizes
    as recorded ones, and an episode ends where the variable is used up. 'paid': fitness is minus the expected number of
    falls within max_steps."""
    gate: int = 24
    """Evolution in the dream: before it, so many perturbed controllers are ranked in the dream and in reality, and a
    warning says so where the two do not agree; 0 leaves it out."""
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
            "max_steps",
            "average",
            "validation_every",
            "validation_episodes",
            "lanes_per_task",
            "restart_generations",
            "teacher_generations",
            "lessons",
        )
        require_positive(self, positive, "controller.")
        if self.world not in self.options.worlds:
            only = self.options.worlds[0]
            raise UserError(f"The learner {self.learner!r} learns in the {only} world only: --controller.world {only}")
        EvolutionConfig.check(self) if self.learner == "evolution" else self.options.check()
        for group in (getattr(self, one.name) for one in fields(self)):
            if hasattr(group, "begin") and group not in (self.options, type(group)()):  # typed, though not asked for
                group.check()
        _ = self.controller
        if self.restarts < 0 or self.restarts == 1:
            raise UserError(f"--controller.restarts must be 0 or at least 2, to choose among, got {self.restarts}.")
        if self.taught:
            self._check_teacher()
        require_seed(self.seed, "controller.seed")
        require_at_least(0, self, ("temperature", "dropout"), "controller.")
        require_at_least(1, self, ("patience",), "controller.")
        if self.gate < 0 or 0 < self.gate < 4:
            raise UserError(f"--controller.gate must be 0 or at least 4 controllers, to be ranked, got {self.gate}.")
        if self.spread and self.world == "real":
            raise UserError("--controller.spread is of M's members: it needs --controller.world dream.")
        if self.dropout >= 1:
            raise UserError(f"--controller.dropout must be below 1, got {self.dropout}.")

    @property
    def taught(self) -> bool:
        """Whether C has a teacher before it is evolved."""
        return self.teacher is not None and self.learner == "evolution"

    def _check_teacher(self) -> None:
        if self.restarts:
            raise UserError(
                "--controller.teacher is of one evolution, not of several: leave out --controller.restarts, or ask for "
                "--controller.teacher None."
            )
        if self.teacher in ("evolution", "distil"):
            raise UserError(f"--controller.teacher is a learner by gradients (sac, ppo ...), got {self.teacher!r}.")
        self.teaching.check()
        self.imitation.check()

    @property
    def teaching(self) -> ControllerConfig:
        """How the teacher learns."""
        assert self.teacher is not None
        able, generations = replace(self, learner=self.teacher).options.worlds, self.teacher_generations
        return replace(
            self,
            learner=self.teacher,
            teacher=None,
            teacher_generations=ControllerConfig.teacher_generations,  # of the evolution, and so is the next
            lessons=ControllerConfig.lessons,
            world=self.world if self.world in able else "dream",
            generations=generations,
            average=max(1, min(10, generations // 4)),
            validation_every=max(1, min(25, generations // 4)),
        )

    @property
    def imitation(self) -> ControllerConfig:
        """How C becomes its teacher's pupil, before it is evolved.

        A linear C has the critics of an SAC for a teacher: they tell it what everything that it does is worth. Others
        imitate what their teacher does.
        """
        pupil = replace(
            self,
            learner="distil",
            teacher=None,
            teacher_generations=ControllerConfig.teacher_generations,
            lessons=ControllerConfig.lessons,
            world="real",
            generations=self.lessons,
            restarts=0,
            average=1,
            validation_every=min(2, self.lessons),
        )
        linear = EvolutionConfig.shape(self, self.spec) == ControllerSpec(self.spec.features, latent=self.spec.latent)
        if self.teacher != "sac" or not linear:
            return pupil
        sac = replace(
            self.sac,
            actor_layers=(),
            experience="teacher",
            recorded=False,  # its teacher has known that
            least_updates=max(self.sac.least_updates, PUPIL_UPDATES),
            decay=None if self.sac.decay is None else self.lessons,
            idle_after=max(0, self.sac.idle_after - self.teacher_generations),
        )
        every = max(1, min(10, self.lessons // 3))
        return replace(pupil, learner="sac", sac=sac, world=self.world, average=every, validation_every=every)

    @property
    def options(self) -> LearnerOptions:
        """The options of the learner that is asked for.

        Raises:
            UserError: there is none of this name.
        """
        if self.learner == "evolution":
            return self
        options = getattr(self, self.learner, None)
        if not hasattr(options, "begin"):
            names = ["evolution", *(f.name for f in fields(self) if hasattr(getattr(self, f.name), "begin"))]
            raise UserError(f"There is no learner {self.learner!r}; --controller.learner takes {', '.join(names)}.")
        return cast(LearnerOptions, options)

    @property
    def controller(self) -> Spec:
        """The controller that is learned: it sees what ``spec`` says, and is built as its learner wants it."""
        return EvolutionConfig.shape(self, self.spec) if self.learner == "evolution" else self.options.shape(self.spec)

    def dream(self, model: WorldModel, standardiser: Standardiser | None = None) -> DreamTask:
        """The dream that these options ask for."""
        return DreamTask(
            model,
            self.controller,
            self.temperature,
            self.max_steps,
            self.starts,
            self.dropout,
            standardiser,
            self.ends,
            self.falls,
            self.value,
        )
