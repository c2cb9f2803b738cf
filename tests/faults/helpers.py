"""A pipeline that takes seconds, ways to break it off, and the comparison of what is left with what should be."""

from __future__ import annotations

import dataclasses
import json
import pkgutil
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from agents.cli.main import COMMANDS, command
from agents.evaluation import EvaluateConfig
from agents.pipeline.iterate import IterateConfig
from agents.pipeline.presets import PRESETS, TINY
from agents.viewing.watch import WatchConfig
from rollouts import console
from rollouts.collect import CollectConfig
from rollouts.runs import provenance
from rollouts.runs.layout import Run
from worldmodels.configs import MDNRNNConfig
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.training.checkpoint import load_state

SCRIPTS = Path(__file__).parents[2] / "scripts"
CPU = torch.device("cpu")

# In float32, so that nothing is timed first: the counts of calls below are exact.
_VAE = dataclasses.replace(
    TINY.vae, latent_size=4, steps=9, batch_size=8, log_every=2, checkpoint_every=4, precision="float32"
)
_MDNRNN = dataclasses.replace(
    TINY.mdnrnn,
    hidden_size=8,
    mixtures=2,
    steps=14,
    batch_size=8,
    starts=8,
    log_every=3,
    checkpoint_every=6,
    precision="float32",
)
_CONTROLLER = dataclasses.replace(
    TINY.controller,
    generations=5,
    population=4,
    rollouts=1,
    max_steps=20,
    validation_every=2,
    validation_episodes=2,
    lanes_per_task=2,
)
#: Every stage, a second round with a V of its own included. No number of steps is a multiple of its checkpoints.
MICRO = dataclasses.replace(
    TINY,
    collect=CollectConfig(episodes=8, max_steps=30),
    vae=_VAE,
    mdnrnn=_MDNRNN,
    controller=_CONTROLLER,
    iterate=IterateConfig(
        rounds=1,
        episodes=4,
        vae=dataclasses.replace(_VAE, steps=5).training,
        mdnrnn=dataclasses.replace(_MDNRNN, steps=7).training,
        controller=dataclasses.replace(_CONTROLLER, generations=3),
    ),
    evaluate=EvaluateConfig(episodes=3),
    watch=WatchConfig(max_steps=10),
)

UNLIKE = {
    "seconds",
    "validation_seconds",
    "initial_validation_seconds",
    "git_commit",
    "commands",
    "agent",
    "check",
}  #: may differ between equal runs: times, the checkout, what was typed, the path, and checksums of all these


def call(script: str, *arguments: object) -> int:
    """Run ``scripts/NAME.py`` in this process, with MICRO as the preset ``tiny``; its exit status.

    The first ``--workers N`` is left out for commands that have no workers.
    """
    argv = [f"{script}.py", *map(str, arguments)]
    name = script.replace("_", "-")
    if "--workers" in argv and name in COMMANDS and "workers" not in command(name).names():
        at = argv.index("--workers")
        del argv[at : at + 2]
    with (
        patch.object(sys, "argv", argv),
        patch.object(sys, "path", [str(SCRIPTS / "docs"), *sys.path]),
        patch.dict(PRESETS, tiny=MICRO),
        patch.object(console, "COMMANDS_ARE_SCRIPTS", False),  # what the script sets is undone
        patch.object(provenance, "_typed", None),
    ):
        try:
            path = SCRIPTS / argv[0] if (SCRIPTS / argv[0]).exists() else SCRIPTS / "docs" / argv[0]
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


class Interrupted(BaseException):
    """As good as a kill: nothing catches it."""


@contextmanager
def interrupted_at(place: str, times: int) -> Iterator[None]:
    """Within it, the call number ``times`` of the function at ``place`` ends everything, and does end it."""
    owner_name, _, name = place.rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    original: Callable[..., Any] = getattr(owner, name)
    count = 0

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == times:
            raise Interrupted
        return original(*args, **kwargs)

    with patch.object(owner, name, counting):
        try:
            yield
        except Interrupted:
            return
    raise AssertionError(f"{place} was called only {count} times")


def fit_whole_and_in_parts(config: MDNRNNConfig, source: Path, folder: Path, *breaks: tuple[str, int]) -> Path:
    """Fit M to the episodes and V of ``source`` at once, and in another run that is broken off at each of ``breaks``.

    Both end in the same state, bit for bit. The second run is returned.
    """
    states = []
    for name in ("whole", "parts"):
        run = Run(folder / name)
        for stage in ("rollouts", "vae"):
            shutil.copytree(source / stage, run.stage(stage).path)

        def fit(run: Run = run) -> None:
            fit_mdn_rnn(config, run.path, [run.episodes], CPU, cache=folder / "latents")

        for place, times in breaks if name == "parts" else ():
            with interrupted_at(place, times):
                fit()
        fit()
        states.append({name: part for name, part in load_state(run.mdnrnn.state, CPU).items() if name != "stage"})
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    return run.path


def snapshot(folder: Path) -> dict[str, Any]:
    """Every file under a folder with what has to be equal in it. Events and reports hold times and are left out."""
    left_out = ("tfevents", "report.html", ".lock")  # a lock says who works, not what was made
    files = sorted(f for f in folder.rglob("*") if f.is_file() and not any(part in f.name for part in left_out))
    return {str(file.relative_to(folder)): _content(file) for file in files}


def differences(one: Path, other: Path) -> list[str]:
    """Names of the files in which two folders differ."""
    a, b = snapshot(one), snapshot(other)
    return [name for name in sorted(a.keys() | b.keys()) if name not in a or name not in b or a[name] != b[name]]


def _content(file: Path) -> Any:
    if file.suffix == ".json":
        return _plain(json.loads(file.read_text()))
    if file.suffix == ".jsonl":
        return [_plain(json.loads(line)) for line in file.read_text().splitlines()]
    if file.suffix == ".pt":
        return _plain(torch.load(file, weights_only=True))
    return file.read_bytes()


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in UNLIKE}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
