"""C imitates another agent, and evolution has the last word.

worldmodels distil --run runs/car --teacher runs/car-sac
worldmodels distil --run runs/car --teacher pretrained/carracing --controller.spec.hidden 16 --controller.sigma 0.02

The teacher may be any agent: an actor-critic's network, one that Stable-Baselines3 trained, one with another V and M.
C is fitted to what the teacher says in all that C itself gets into (RUN/distilled); then it is evolved from there on
the return, by --controller.generations and the other options, into RUN/controller. It is kept as it is should nothing
better be found.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agents.cli.options import Command, Device, PresetName, RunDirectory, Tracking, WorkerCount
from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from rollouts.envs.config import EnvConfig
from rollouts.errors import UserError
from rollouts.pools.processes import default_workers
from rollouts.runs.layout import Run
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Whom to imitate, and how to go on."""

    run: RunDirectory
    preset: PresetName
    env: EnvConfig
    controller: ControllerConfig
    teacher: str | None = None
    """The agent to imitate: a run directory, or pretrained/NAME."""
    rounds: int = 6
    """Iterations of imitation; the teacher drives in the first one."""
    device: Device = "auto"
    track: Tracking = ()
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Imitate, then evolve."""
    if arguments.controller.learner != "evolution":
        raise UserError("What goes on after imitation is evolution: leave out --controller.learner.")
    if arguments.rounds < 1:
        raise UserError(f"--rounds must be positive, got {arguments.rounds}.")
    device, config = pick_device(arguments.device), arguments.controller
    options = replace(config.distil, teacher=arguments.teacher or config.distil.teacher)
    config = replace(config, distil=options, lessons=arguments.rounds)
    config.check()  # of the evolution, before anything is imitated
    if options.teacher is None:
        options.own_teacher(arguments.run)
    where = (arguments.run, arguments.env, arguments.workers, device)
    first = evolve(config.imitation, *where, into=Run(arguments.run).distilled.path)
    evolve(config, *where, start_from=first)


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("run", "preset", "teacher", "rounds", "device", "track", "workers", "env.id", "controller.distil.episodes"),
        *("controller.distil.updates", "controller.spec.features", "controller.spec.hidden"),
        *("controller.generations", "controller.population", "controller.rollouts", "controller.sigma"),
        *("controller.max_steps", "controller.patience", "controller.seed"),
    ),
)
