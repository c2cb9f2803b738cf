"""Import: episodes from elsewhere become a run's, or the paper's published weights an agent.

worldmodels import --source atari/pong/expert-v0 --run runs/pong   # a Minari data set
worldmodels import --source recordings/ --run runs/mine --env.id mygame:MyGame-v0
worldmodels import --source WorldModelsExperiments/carracing --run runs/paper-car

SOURCE is the id or the folder of a Minari data set, or a folder of: .npz files of ctallec's world-models or hardmaru's
WorldModelsExperiments, videos (with .npz files of actions beside them, or without), files that rollouts.EpisodeStore
wrote, or hardmaru's weights (vae.json, rnn.json and a controller). Every episode is checked; then go on with train-vae.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agents.cli.options import Command
from agents.weights_2018 import import_weights, is_published
from rollouts.console import command, say
from rollouts.envs.config import EnvConfig
from rollouts.errors import UserError
from rollouts.runs.files import write_json
from rollouts.runs.layout import Run
from rollouts.transfer.imports import NO_WORLD, import_episodes
from rollouts.transfer.sources import Kind, open_source


@dataclass(frozen=True)
class Arguments:
    """What to import, and where to."""

    source: str | None = None
    """The folder, or the id of a Minari data set."""
    run: Path | None = None
    """The run that is made of it."""
    kind: Kind = "auto"
    """What the source is, where that cannot be seen."""
    skip_broken: bool = False
    """Leave out episodes that cannot be imported, instead of refusing them all."""
    env: EnvConfig = field(default_factory=lambda: NO_WORLD)


def body(arguments: Arguments) -> None:
    """Read, check, write, and say how to go on."""
    if arguments.source is None or arguments.run is None:
        raise UserError("Say what to import and which run it becomes: --source PATH --run runs/NAME.")
    run, note = arguments.run, Run(arguments.run).note
    if is_published(Path(arguments.source)):
        import_weights(Path(arguments.source), run)
        following = f"Look at it: {command('play', '--agent', run)}"
        what = "V, M and C"
    else:
        store = import_episodes(
            open_source(arguments.source, arguments.kind), run, arguments.env, arguments.skip_broken
        )
        following = f"Go on: {command('train-vae', '--run', run)}"
        what = f"{len(store)} episodes"
    if not note.exists():
        write_json(note, {"preset": "laptop"})
    say(f"{what} are in {run}. {following}")


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=("source", "run", "kind", "skip_broken", "env.id", "env.crop", "env.size", "env.key"),
)
