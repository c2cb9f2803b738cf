"""The command line of every command: one ``Arguments`` dataclass each, and one way to fill it.

A field of ``Arguments`` is an option, its docstring the option's help, a dataclass in it a group of options. Fields
without a default are filled from, in this order: the stage's own ``config.json`` (so that the same command continues),
the preset that is asked for, the preset that the run began with.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro

from agents.cli.errors import stoppable, tell_errors
from agents.cli.places import RUNS, new_run, newest_run, required_run
from agents.pipeline.presets import PRESETS, preset_for
from rollouts.console import command, quoted, say
from rollouts.envs.trust import note_typed, recorded_env
from rollouts.errors import MOST_SEED, UserError
from rollouts.pools.pool import Workers, check_workers
from rollouts.runs.files import read_json, write_json
from rollouts.runs.layout import Run
from worldmodels.tracking import TrackerName, track_with

STAGE_OF = {"collect": "rollouts", "vae": "vae", "mdnrnn": "mdnrnn", "controller": "controller"}

RunDirectory = Annotated[
    Path,
    tyro.conf.arg(
        help="Run directory. Default: the newest one under runs/, or a new one where the command begins a run."
    ),
]
PresetName = Annotated[
    Literal["tiny", "quick", "laptop", "sac", "paper", "takecover", "takecover-ppo"],
    tyro.conf.arg(help="Where options come from that are not given. Default: the run's own preset, else laptop."),
]
Device = Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or mps, for training and dreaming.")]
WorkerCount = Annotated[
    Workers,
    tyro.conf.arg(
        help="Worker processes for environments and dreams; 0 runs everything in one. ray, ray:auto or ray:HOST:PORT "
        "uses the cores of a Ray cluster instead (docs/guide/gpus.md). Results do not depend on it."
    ),
]
Tracking = Annotated[
    tuple[TrackerName, ...],
    tyro.conf.arg(help="Follow it with wandb or mlflow too (docs/guide/reports.md)."),
]
#: An agent that is used, not made: play, watch, evaluate and release all call it so, and take --run as well.
AgentName = Annotated[str | None, tyro.conf.arg(aliases=["--run"])]
PLACES = ("out", "csv")  #: options that say where results go
FILES = (".json", ".html", ".htm", ".csv", ".mp4", ".gif", ".png", ".md")
T = TypeVar("T")


@dataclass(frozen=True)
class Command(Generic[T]):
    """What a command takes, does and shows."""

    description: str | None
    """The docstring of its module: one line of what it does, then examples."""
    arguments: type[T]
    body: Callable[[T], None]
    main: Sequence[str]
    """The options that matter, which ``--help`` shows: names of fields, ``vae.steps`` for one in a group."""
    starts_run: bool = False
    """It may begin a new run."""
    joins_group: bool = False
    """Several processes of it, started by torchrun, share one piece of work."""
    flat: bool = False
    """Options of groups are written without the group's name."""
    parse: Callable[[Command[T], Sequence[str]], T] | None = None
    """Another way to fill ``arguments``, where defaults depend on other options."""

    def __call__(self, argv: Sequence[str] | None = None) -> None:
        """Parse the command line, call the body, and exit with 0 only if it succeeded."""

        def work() -> None:
            if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not self.joins_group:
                sharing = "train-vae, train-mdnrnn and train-images"
                raise UserError(f"Only {sharing} share their work among processes of torchrun.")
            typed = note_typed(sys.argv[1:] if argv is None else argv)
            arguments: Any = (self.parse or parse)(self, typed)
            check(arguments, self.flat)
            track_with(getattr(arguments, "track", ()))
            run = getattr(arguments, "run", None) if "preset" in self.names() else None
            with _begun(run, arguments.preset) if run and self.starts_run else nullcontext(), stoppable(run):
                self.body(arguments)

        tell_errors(work)

    def names(self) -> list[str]:
        """Its fields."""
        return [field.name for field in dataclasses.fields(self.arguments)]  # type: ignore[arg-type]


def parse(of: Command[T], argv: Sequence[str]) -> T:
    """What was typed, completed by the run and the preset.

    Raises:
        UserError: there is no such preset or run.
    """
    if "preset" not in of.names():
        return read(of, argv)
    typed = typed_options(argv, "preset", "run", "env.id")
    started = Path(typed["run"]) if typed["run"] else None if of.starts_run else newest_run()
    preset = _preset(typed["preset"], started)
    run = started or (new_run(preset) if of.starts_run else RUNS / "NAME")
    sections = [name for name in of.names() if hasattr(PRESETS[preset], name)]
    world = typed["env.id"] or _world_of(started)
    defaults = {name: _default(name, preset, world, started, typed["preset"] is None) for name in sections}
    arguments = read(of, argv, run=run, preset=preset, **defaults)
    if started is None and not of.starts_run:
        required_run()
    if started is None:
        say(f"New run: {run}   (continue it with {quoted('--run', run)})")
    if not of.starts_run and not run.exists():
        raise UserError(f"There is no run at {run}. Start one: {command('collect', '--run', run)}")
    return arguments


def typed_options(argv: Sequence[str], *names: str) -> dict[str, str | None]:
    """The values of some options, which decide the defaults of others."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in names:
        first.add_argument(f"--{name}")
    return vars(first.parse_known_args(list(argv))[0])


def read(of: Command[T], argv: Sequence[str], **defaults: Any) -> T:
    """What was typed, with these values for fields that were not."""
    marks = (tyro.conf.AvoidSubcommands, *((tyro.conf.OmitArgPrefixes,) if of.flat else ()))
    arguments: Any = tyro.cli(
        of.arguments,
        args=list(argv),
        default=of.arguments(**defaults) if defaults else None,
        description=shown(of.description),
        config=marks,
    )
    if "workers" in of.names():
        check_workers(arguments.workers)
    return arguments


def defaults_of(of: Command[T]) -> T:
    """What a command does where nothing was typed and there is no run yet."""
    if of.parse is not None:
        return of.parse(of, [])
    if "preset" not in of.names():
        return of.arguments()
    sections = {name: value for name, value in vars(PRESETS["laptop"]).items() if name in of.names()}
    kind: Any = of.arguments
    return kind(run=RUNS / "NAME", preset="laptop", **sections)


def check(arguments: Any, flat: bool = False) -> None:
    """Refuse options of every group that make no sense, before anything is spent.

    Raises:
        UserError: it names the option.
    """
    for name, number in numbers_of(arguments, flat):
        if not math.isfinite(number) or abs(number) > MOST_SEED:
            raise UserError(f"--{name} must be a finite number of at most {MOST_SEED:,}, got {number}.")
    for field in dataclasses.fields(arguments):
        value = getattr(arguments, field.name)
        if hasattr(value, "check"):
            value.check()
        if field.name in PLACES and isinstance(value, Path):
            _require_place(value, field.name)


def _require_place(path: Path, option: str) -> None:
    """Refuse a place for results that cannot be one, before they are made.

    Raises:
        UserError: a folder has the name that the file is to have, or what should be a folder on the way is a file.
    """
    if path.suffix in FILES and path.is_dir():
        raise UserError(f"--{option} {path} is a folder; give the name of a {path.suffix} file.")
    above = next((folder for folder in path.absolute().parents if os.path.lexists(folder)), None)
    if above is not None and not above.is_dir():
        raise UserError(f"--{option} {path} cannot be written: {above} is no folder.")


def numbers_of(options: Any, flat: bool = False, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number among options and groups of them, with its name on the command line."""
    for field in dataclasses.fields(options):
        value, name = getattr(options, field.name), f"{prefix}{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(value):
            yield from numbers_of(value, flat, "" if flat else f"{name}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float):
                yield name, number


def shown(description: str | None) -> str:
    """A docstring for ``--help``: tyro joins lines that begin with a word, so commands are indented."""
    return "\n".join(
        "  " + re.sub(r"^worldmodels (\S+)", lambda match: command(match[1]), line)
        if line.startswith(("worldmodels ", "torchrun "))
        else line
        for line in (description or "").splitlines()
    )


def _preset(name: str | None, run: Path | None) -> str:
    """The preset that was asked for, or that the run began with."""
    if name is not None:
        if name not in PRESETS:
            raise UserError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        return name
    note = Run(run).note if run else None
    preset = str(read_json(note).get("preset")) if note and note.exists() else "laptop"
    if preset not in PRESETS:
        raise UserError(f"{note} names the preset {preset!r}, which does not exist; give one of them with --preset.")
    return preset


def _world_of(run: Path | None) -> str | None:
    """The environment that a run's episodes are of, if it has any."""
    if run is None or not Run(run).rollouts.complete:
        return None
    return recorded_env(Run(run).rollouts.manifest).id


def _default(section: str, preset: str, world: str | None, run: Path | None, use_saved: bool) -> Any:
    """A section's value in the preset for this world, or what its stage was made with."""
    value = getattr(preset_for(preset, world), section)
    if use_saved and run is not None:
        rollouts, stage = Run(run).rollouts, STAGE_OF.get(section)
        if section == "env" and rollouts.complete:
            return recorded_env(rollouts.manifest)
        if stage and Run(run).stage(stage).config_file.exists():
            return Run(run).stage(stage).config(type(value))
    return value


@contextmanager
def _begun(run: Path, preset: str) -> Iterator[None]:
    """Note the preset that a new run begins with; if nothing else comes of it, no trace is left."""
    note = Run(run).note
    if not note.exists():
        write_json(note, {"preset": preset})
    try:
        yield
    finally:
        if run.is_dir() and [file.name for file in run.iterdir()] == [note.name]:
            note.unlink()
            run.rmdir()
