"""Options that make no sense and environments that misbehave: refused in one sentence, before anything is written."""

from __future__ import annotations

import dataclasses
import random
import shutil
import typing
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.spaces import Dict, Tuple
from torture_runs import CPU, RUN_OPTIONS, TRACEBACK, Ended, command, copy, forked

from agents.cli.main import COMMANDS
from agents.cli.main import command as command_of
from worldmodels.generative.models.registry import MODELS

zoo: Any = import_module("tests.rollouts.zoo")
Row = dict[str, Any]
Attempt = Callable[[], Row]
PATIENCE = 40.0  #: seconds after which an option that was not refused counts as accepted

#: What each command needs of a finished run, and options with which it would work.
COMMAND_LINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "collect": ((), ("--run", "RUN", *RUN_OPTIONS[:4])),
    "train-vae": (("rollouts",), ("--run", "RUN", *RUN_OPTIONS[:2], *CPU)),
    "train-mdnrnn": (("rollouts", "vae"), ("--run", "RUN", *RUN_OPTIONS[:2], *CPU)),
    "train-controller": (("rollouts", "vae", "mdnrnn"), ("--run", "RUN", *RUN_OPTIONS)),
    "pipeline": ((), ("--run", "RUN", *RUN_OPTIONS)),
    "iterate": (("rollouts", "vae", "mdnrnn", "controller"), ("--run", "RUN", *RUN_OPTIONS)),
    "evaluate": (
        ("rollouts", "vae", "mdnrnn", "controller"),
        ("--agent", "RUN", "--episodes", "1", "--workers", "0", "--out", "RUN/score.json"),
    ),
    "watch": (("rollouts", "vae", "mdnrnn", "controller"), ("--agent", "RUN", "--out", "RUN/film.mp4")),
    "train-images": ((), ("--run", "RUN", "--model", "gan", "--data", "ring", "--preset", "tiny", *CPU)),
    "sample-images": (("images",), ("--run", "RUN", "--out", "RUN/picture.png")),
    "export": (("rollouts", "vae", "mdnrnn", "controller"), ("--run", "RUN", "--out", "RUN/out")),
    "distil": (
        ("rollouts", "vae", "mdnrnn", "controller"),
        ("--run", "RUN", "--teacher", "RUN", *RUN_OPTIONS),
    ),
    "sweep-temperature": (("rollouts", "vae", "mdnrnn"), ("--run", "RUN", *RUN_OPTIONS)),
    "compare": (("rollouts", "vae", "mdnrnn"), ("--run", "RUN", *RUN_OPTIONS)),
}
#: By hand, for every command: words that no command takes.
NONSENSE: tuple[tuple[str, ...], ...] = (
    ("--vea.steps", "5"),
    ("--device", "gpu"),
    ("--device", "cuda:99"),
    ("--preset", "huge"),
    ("--workers", "-1"),
    ("--workers", "many"),
    ("--workers", "ray:127.0.0.1:1"),
    ("--run", "/proc/none/run"),
    ("stray",),
    ("--seed",),
)
VERY_LARGE = "9" * 30
WHOLE = ("-1", "1.5", "nan", "many", VERY_LARGE)
BEGUN = ("manifest.json", "config.json", "run.json")  #: may be written before a stage refuses: nothing is spent
REAL = ("nan", "inf", "-inf", "much")


def options(finished: Path, run: Path, count: int, seed: int) -> Iterator[Attempt]:
    """Some of all options of all commands, each with a value that cannot be meant."""
    cases = [
        (name, words)
        for name in COMMAND_LINES
        for words in (*NONSENSE, *((f"--{option}", value) for option, value in _wrong(name)))
        if words[0] != "--workers" or "workers" in command_of(name).names()
    ]
    random.Random(seed).shuffle(cases)
    for name, words in cases[:count]:
        yield partial(_option, name, words, finished, run)


def _wrong(name: str) -> Iterator[tuple[str, str]]:
    """Every option of a command that takes a number or one of some words, with what it cannot take."""
    of = command_of(name)
    for option, kind in _fields(of.arguments, "", of.flat):
        if kind is bool:
            continue
        if kind is int:
            yield from ((option, value) for value in WHOLE)
        elif kind is float:
            yield from ((option, value) for value in REAL)
        elif typing.get_origin(kind) is typing.Literal:
            yield option, "nonsense"
    if name == "train-images":
        yield from _wrong_of_images()


def _wrong_of_images() -> Iterator[tuple[str, str]]:
    for option, kind in _fields(type(MODELS["gan"]), "", True):
        if kind in (int, float):
            yield from ((option, value) for value in (WHOLE if kind is int else REAL))


def _fields(kind: Any, prefix: str, flat: bool) -> Iterator[tuple[str, Any]]:
    for field, hint in typing.get_type_hints(kind).items():
        if field in ("worlds", "run", "seed_of"):
            continue
        name = f"{prefix}{field.replace('_', '-')}"
        plain = next((part for part in typing.get_args(hint) if part is not type(None)), hint)
        hint = plain if typing.get_origin(hint) not in (typing.Literal, tuple) else hint
        if dataclasses.is_dataclass(hint):
            yield from _fields(hint, "" if flat else f"{name}.", flat)
        else:
            yield name, hint


def _option(name: str, words: tuple[str, ...], finished: Path, run: Path) -> Row:
    needs, line = COMMAND_LINES[name]
    shutil.rmtree(run, ignore_errors=True)
    copy(finished, run, needs)
    typed = [word.replace("RUN", str(run)) for word in line]
    if words[0] in typed and words[0] != "--run":  # the last one counts
        at = typed.index(words[0])
        del typed[at : at + 2]
    row = _judged(f"{name}: {' '.join(words)}", run, command(name.replace("-", "_"), *typed, *words))
    shutil.rmtree(run, ignore_errors=True)
    return row


def _judged(what: str, run: Path, work: Callable[[], int]) -> Row:
    log = run.with_suffix(".log")
    log.unlink(missing_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    before = _listing(run)
    ended = forked(work, log, PATIENCE)
    after = _listing(run) if run.exists() else {}
    files = [file for file, facts in after.items() if before.get(file) != facts and not file.endswith(".lock")]
    log.unlink(missing_ok=True)
    return {"what": what, "outcome": _outcome(ended, files), "told": _last(ended, run, files)}


def _outcome(ended: Ended, files: list[str]) -> str:
    if ended.status == TRACEBACK or "Traceback (most recent call last)" in ended.output:
        return "traceback"
    if ended.status == 2:
        return "late" if any(file.split("/")[-1] not in BEGUN for file in files) else "refused"
    return "accepted" if ended.status in (0, -9) else f"status {ended.status}"


def _last(ended: Ended, run: Path, files: list[str]) -> str:
    lines = [line for line in ended.output.splitlines() if line.strip(" │╭╰─╮╯")]
    errors = [line for line in lines if "Error: " in line] or [line for line in lines if line.startswith("  ")][:1]
    last = (errors or lines or [""])[-1].strip().replace(str(run), "RUN")[-300:]
    return f"{last}{' WROTE ' + ', '.join(files[:3]) if files else ''}"


def _listing(run: Path) -> dict[str, tuple[int, int]]:
    files = (file for file in run.rglob("*") if file.is_file())
    return {str(file.relative_to(run)): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


#: Environments that are not to be had, or not with these options.
UNKNOWN: tuple[tuple[str, ...], ...] = (
    ("Nowhere-v0",),
    ("no_such_module:World-v0",),
    ("CarRacing-v99",),
    ("carracing", "--env.crop", "5", "5", "5", "5"),
    ("carracing", "--env.crop", "0", "99", "0", "96"),
    ("carracing", "--env.size", "0"),
    ("carracing", "--env.size", "-64"),
    ("carracing", "--env.action-repeat", "0"),
    ("carracing", "--env.max-episode-steps", "0"),
    ("carracing", "--env.key", "image"),
    ("CartPole-v1",),
    ("FrozenLake-v1",),
    ("",),
    (":",),
    ("toy", "--env.action-low", "nan"),
    ("toy", "--env.action-low", "-1", "-1", "-1", "-1"),
    ("toy", "--env.kwargs", "speed", "fast"),
)
ACTIONS: dict[str, gym.Space[Any]] = {
    "a tuple": Tuple((zoo.PUSH, zoo.PUSH)),
    "a dictionary": Dict({"a": zoo.PUSH}),
    "no limits": gym.spaces.Box(-float("inf"), float("inf"), (2,)),
    "text": gym.spaces.Text(5),
}


def environments(run: Path, count: int, seed: int) -> Iterator[Attempt]:
    """All of them, to be recorded and to be scored."""
    worlds: dict[str, tuple[str, ...]] = {f"id {' '.join(words)!r}": words for words in UNKNOWN}
    worlds |= {animal.__name__: (f"Zoo/{animal.__name__}-v0",) for animal in zoo.MISBEHAVED}
    for name, (space, _) in zoo.NO_PICTURES.items():
        worlds[f"sees {name}"] = _registered(f"Sees{len(worlds)}", space=space)
    for name, actions in ACTIONS.items():
        worlds[f"acts by {name}"] = _registered(f"Acts{len(worlds)}", actions=actions)
    cases = [(name, words, how) for name, words in worlds.items() for how in ("collect", "evaluate", "pipeline")]
    cases.remove(("OneStep", worlds["OneStep"], "evaluate"))  # there is nothing to learn from it, but a score
    random.Random(seed).shuffle(cases)
    for name, words, how in cases[:count]:
        yield partial(_environment, name, words, how, run)


def _registered(name: str, **parts: Any) -> tuple[str, ...]:
    make: Any = partial(zoo.Animal, **parts)
    gym.register(f"Zoo/{name}-v0", make)
    return (f"Zoo/{name}-v0",)


def _environment(name: str, words: tuple[str, ...], how: str, run: Path) -> Row:
    shutil.rmtree(run, ignore_errors=True)
    world, *more = words
    if how == "evaluate":
        line: tuple[object, ...] = ("--agent", "random", "--episodes", "2", "--workers", "0")
    else:
        line = ("--run", run, *(RUN_OPTIONS[:4] if how == "collect" else RUN_OPTIONS))
    row = _judged(f"{name}: {how}", run, command(how, *line, "--env.id", world, *more))
    shutil.rmtree(run, ignore_errors=True)
    return row


assert set(COMMAND_LINES) <= set(COMMANDS)
