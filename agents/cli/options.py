"""What all scripts share: presets, overrides, where a run lives, and how a user's mistake is told.

A command names the sections of :class:`agents.pipeline.presets.PipelineConfig` that it uses. Their values come from, in
this order: the command line, the stage's own ``config.json`` (so that the same command continues), the preset.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.agent import pretrained_agents
from agents.pipeline.presets import PRESETS, preset_for
from rollouts.console import command, say
from rollouts.errors import UserError
from rollouts.pools.pool import Workers, check_workers
from rollouts.pools.processes import default_workers
from rollouts.runs.files import read_json, write_json
from rollouts.runs.options import config_from_dict
from rollouts.runs.stage import Stage

RUNS = Path("runs")
PresetName = Literal["tiny", "quick", "laptop", "paper", "takecover"]
STAGE_OF = {"collect": "rollouts", "vae": "vae", "mdnrnn": "mdnrnn", "controller": "controller"}

#: What a full, read-only or misnamed disk answers; anything else is a bug and keeps its traceback.
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)
_RUN = "Run directory. Default: the newest one under runs/, or a new one where the script starts a run."
_PRESET = "Where options come from that are not given. Default: the run's own preset, else laptop."
_DEVICE = "auto, cpu, cuda or mps, for training and dreaming."
_WORKERS = (
    "Worker processes for environments and dreams; 0 runs everything in one. ray, ray:auto or ray:HOST:PORT uses the "
    "cores of a Ray cluster instead (docs/cluster.md). Results do not depend on it."
)


def main(
    description: str | None,
    body: Callable[[Any], None],
    sections: Sequence[str] = (),
    extra: Sequence[tuple[str, Any, Any, str]] = (),
    starts_run: bool = False,
    needs_run: bool = True,
    joins_group: bool = False,
    device: bool = True,
    workers: bool = True,
) -> None:
    """Parse the command line, call ``body(arguments)``, and exit with 0 only if it succeeded.

    Args:
        description: the script's docstring, shown by ``--help``.
        body: receives an object with ``run, preset, device, workers`` (those it has), the sections and other options.
        sections: fields of ``PipelineConfig`` that may be overridden, e.g. ``--vae.latent-size 64``.
        extra: ``(name, type, default, help)`` of further options.
        starts_run: the script may begin a new run.
        needs_run: the script works on a run at all.
        joins_group: several processes of the script, started by torchrun, share one piece of work.
        device, workers: whether the script has these options.
    """

    def work() -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not joins_group:
            raise UserError("Only train-vae and train-mdnrnn share their work among processes of torchrun.")
        arguments = _parse(description, sections, extra, starts_run, needs_run, device, workers, sys.argv[1:])
        with _begun(arguments.run, arguments.preset) if starts_run else nullcontext(), stoppable(arguments, needs_run):
            body(arguments)

    tell_errors(work)


@contextmanager
def stoppable(arguments: Any, continues: bool = True) -> Iterator[None]:
    """Within it, Ctrl-C tells how to go on with the run, where that is possible."""
    try:
        yield
    except KeyboardInterrupt:
        how = f" Continue with --run {arguments.run} and the same other options." if continues else ""
        raise KeyboardInterrupt(how) from None


def tell_errors(work: Callable[[], None]) -> None:
    """Do a script's work; a user's mistake or a full disk becomes one sentence and exit status 2."""
    try:
        work()
    except BrokenPipeError:  # the reader of --help had seen enough
        os._exit(1)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        say(
            f"Error: {error.filename or 'The disk'}: {error.strerror}. Nothing was lost that was complete; mend this "
            "(free some space, fix permissions, or choose another path) and run the same command again."
        )
        sys.exit(2)
    except UserError as error:
        say(f"Error: {error}")
        sys.exit(2)
    except KeyboardInterrupt as stop:
        say(f"Stopped.{stop}")
        sys.exit(130)


def _parse(
    description: str | None,
    sections: Sequence[str],
    extra: Sequence[tuple[str, Any, Any, str]],
    starts_run: bool,
    needs_run: bool,
    device: bool,
    workers: bool,
    argv: Sequence[str],
) -> Any:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    first.add_argument("--run", type=Path)
    first.add_argument("--env.id", dest="world")
    given, _ = first.parse_known_args(argv)
    run = given.run or (_newest_run() if needs_run and not starts_run else None)
    asked = given.preset
    if asked is not None and asked not in PRESETS:
        raise UserError(f"There is no preset {asked!r}; choose one of {', '.join(PRESETS)}.")
    note = run / "run.json" if run else None
    preset = asked or (read_json(note).get("preset") if note and note.exists() else "laptop")
    if preset not in PRESETS:
        raise UserError(f"{note} names the preset {preset!r}, which does not exist; give one of them with --preset.")
    world = given.world or _world_of(run)
    defaults = {name: _default(name, preset, world, run, asked is None) for name in sections}
    fields: list[Any] = [
        (name, Annotated[kind, tyro.conf.arg(help=told)], dataclasses.field(default=value))
        for name, kind, value, told in extra
    ]
    if needs_run:
        fields += [
            ("run", Annotated[Path | None, tyro.conf.arg(help=_RUN)], dataclasses.field(default=None)),
            ("preset", Annotated[PresetName, tyro.conf.arg(help=_PRESET)], dataclasses.field(default=preset)),
        ]
    if device:
        fields.append(("device", Annotated[str, tyro.conf.arg(help=_DEVICE)], dataclasses.field(default="auto")))
    if workers:
        told = Annotated[Workers, tyro.conf.arg(help=_WORKERS)]
        fields.append(("workers", told, dataclasses.field(default=default_workers())))
    fields += [(name, type(value), dataclasses.field(default=value)) for name, value in defaults.items()]
    arguments_type = dataclasses.make_dataclass("Arguments", fields, frozen=True)
    arguments: Any = tyro.cli(
        arguments_type,
        args=list(argv),
        description=shown(description),
        config=(tyro.conf.AvoidSubcommands,),
    )
    if workers:
        check_workers(arguments.workers)
    if not needs_run:
        return arguments
    if run is None:
        if not starts_run:
            raise UserError(f"There is no run under {RUNS}/ yet. Start one: {command('pipeline')} --preset quick")
        run = new_run(preset)
        say(f"New run: {run}   (continue it with --run {run})")
    if not starts_run and not run.exists():
        raise UserError(f"There is no run at {run}. Start one: {command('collect')} --run {run}")
    return dataclasses.replace(arguments, run=run)


@contextmanager
def _begun(run: Path, preset: str) -> Iterator[None]:
    """Note the preset that a new run begins with; if nothing else comes of it, no trace is left."""
    if not (run / "run.json").exists():
        write_json(run / "run.json", {"preset": preset})
    try:
        yield
    finally:
        if [file.name for file in run.iterdir()] == ["run.json"]:
            shutil.rmtree(run)


def _world_of(run: Path | None) -> str | None:
    """The environment that a run's episodes are of, if it has any."""
    if run is None or not Stage(run, "rollouts").complete:
        return None
    return str(Stage(run, "rollouts").manifest["env"]["id"])


def _default(section: str, preset: str, world: str | None, run: Path | None, use_saved: bool) -> Any:
    """A section's value in the preset for this world, or what its stage was made with."""
    value = getattr(preset_for(preset, world), section)
    if use_saved and run is not None:
        if section == "env":
            rollouts = Stage(run, "rollouts")
            if rollouts.complete:
                return config_from_dict(type(value), rollouts.manifest["env"])
        stage = STAGE_OF.get(section)
        if stage and (run / stage / "config.json").exists():
            return Stage(run, stage).config(type(value))
    return value


def shown(description: str | None) -> str:
    """A docstring for ``--help``: tyro joins lines that begin with a word, so commands are indented."""
    lines = (description or "").splitlines()
    return "\n".join(
        "  " + re.sub(r"^worldmodels (\S+)", lambda match: command(match[1]), line)
        if line.startswith(("worldmodels ", "torchrun "))
        else line
        for line in lines
    )


def default_agent() -> Path:
    """The newest run under ``runs/`` that has an agent, or the first pretrained one.

    Raises:
        UserError: there is neither.
    """
    finished = [run for run in _runs() if Stage(run, "controller").complete]
    agents = [*finished, *map(Path, pretrained_agents())]
    if not agents:
        raise UserError(f"There is no run under {RUNS}/ yet that has an agent. Make one: make quickstart")
    return agents[0]


def _runs() -> list[Path]:
    """The runs under ``runs/``, the newest first."""
    runs = [path.parent for path in RUNS.glob("*/run.json")]
    return sorted(runs, key=lambda path: path.stat().st_mtime, reverse=True)


def _newest_run() -> Path | None:
    return next(iter(_runs()), None)


def new_run(prefix: str) -> Path:
    """A directory under runs/ that does not exist yet."""
    number = 1
    while (run := RUNS / f"{prefix}-{number}").exists():
        number += 1
    return run


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()
