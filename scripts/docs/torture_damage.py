"""Every file of a run, damaged in every way, and what the commands that read it say."""

from __future__ import annotations

import io
import json
import random
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torture_runs import CPU, IMAGES, RUN_OPTIONS, TRACEBACK, Step, copy, forked, reopened, unlike

from rollouts.runs.files import read_json, write_json

KINDS = ("cut", "bit flip", "garbage", "missing", "of another run", "of another version")
PIPELINE = Step("pipeline", "", RUN_OPTIONS)
EVALUATE = Step("evaluate", "", ("--episodes", "1", "--workers", "0"))
#: The commands that read each part of a finished run: they make something else from it.
READERS = {
    "rollouts": (Step("train_vae", "vae", RUN_OPTIONS[:2] + CPU), Step("train_mdnrnn", "mdnrnn", CPU)),
    "vae": (Step("train_mdnrnn", "mdnrnn", CPU), EVALUATE),
    "latents": (Step("train_mdnrnn", "mdnrnn", CPU),),
    "mdnrnn": (Step("train_controller", "controller", ("--workers", "0", *CPU)), EVALUATE),
    "controller": (EVALUATE, Step("iterate", "round-1", ("--workers", "0", *CPU))),
    "images": (Step("sample_images", "picture.png", ("--out", "RUN/picture.png")),),
}
#: What continues each part when it is not finished, or is to become larger.
GROWING = {
    "rollouts": Step("collect", "rollouts", (*RUN_OPTIONS[:4], "--collect.episodes", "10")),
    "vae": Step("train_vae", "vae", (*RUN_OPTIONS[:2], *CPU, "--vae.steps", "12")),
    "mdnrnn": Step("train_mdnrnn", "mdnrnn", (*CPU, "--mdnrnn.steps", "18")),
    "controller": Step("train_controller", "controller", ("--workers", "0", *CPU, "--controller.generations", "7")),
    "images": Step("train_images", "images", (*IMAGES["gan"], *CPU, "--steps", "60")),
}
CONTINUED = ("state.pt", "metrics.jsonl", "history.jsonl", "config.json", "manifest.json", "episodes.jsonl")
#: Made for people to look at: no command reads them again.
LOOKED_AT = ("tfevents", ".png", ".mp4", "diagnostics.json", ".worldmodels-cache")


@dataclass(frozen=True)
class Case:
    """One file, one kind of damage, and the command that meets it."""

    file: Path  #: in the run
    kind: str
    step: Step
    continued: bool  #: its own stage goes on with it

    @property
    def name(self) -> str:
        return f"{self.file} | {self.kind} | {self.step.name}{' (continued)' if self.continued else ''}"


def cases(finished: Path) -> Iterator[Case]:
    """All of them, in the order of the files."""
    for path in sorted(path for path in finished.rglob("*") if path.is_file()):
        file = path.relative_to(finished)
        if any(part in file.name for part in LOOKED_AT) or file.parts[0] == "round-1":
            continue
        part = file.parts[0]
        for kind in KINDS:
            if len(file.parts) == 1:  # run.json; the pipeline's evaluation.json lies in its newest round
                yield Case(file, kind, PIPELINE, False)
                continue
            if file.name in CONTINUED or part == "rollouts":
                yield from ((Case(file, kind, GROWING[part], True),) if part in GROWING else ())
            if file.name not in ("state.pt", "metrics.jsonl", "history.jsonl"):
                yield from (Case(file, kind, step, False) for step in READERS.get(part, ()))


def of_rounds(finished: Path) -> Iterator[Case]:
    """Files of a later round, and the score: the pipeline finds them finished."""
    for path in sorted(path for path in (finished / "round-1").rglob("*") if path.is_file()):
        file = path.relative_to(finished)
        if not any(part in file.name for part in LOOKED_AT) and file.name in (
            *("manifest.json", "config.json", "weights.safetensors", "starts.safetensors", "evaluation.json"),
        ):
            yield from (Case(file, kind, PIPELINE, False) for kind in KINDS)


def references(chosen: Sequence[Case], finished: Path, place: Path) -> dict[str, Path]:
    """Every command's result on undamaged files, by what identifies the command; computed once, then read."""
    folders = dict[str, Path]()
    steps = {(case.step, case.continued) for case in chosen}
    for step, continued in sorted(steps, key=lambda pair: (pair[0].name, pair[0].options, pair[1])):
        key = _key(step, continued)
        folder = place / key
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _prepare(finished, folder, step, continued)
            ended = forked(_placed(step, folder).work(folder), folder.with_suffix(".log"))
            if ended.status:
                raise RuntimeError(f"{step} ended with {ended.status}: {ended.output[-2000:]}")
            (folder / "whole").touch()
        folders[key] = folder
    return folders


def damage(
    case: Case, finished: Path, other: Path, whole: dict[str, Path], run: Path, rng: random.Random
) -> dict[str, Any]:
    """Damage one file of a copy, and run the command that reads it."""
    shutil.rmtree(run, ignore_errors=True)
    _prepare(finished, run, case.step, case.continued)
    broken = break_file(run / case.file, case.kind, other / case.file, rng)
    log = run.with_suffix(".log")
    log.unlink(missing_ok=True)
    ended = forked(_placed(case.step, run).work(run), log)
    lines = [line for line in ended.output.splitlines() if line.strip() and "it/s]" not in line and "%|" not in line]
    places = (case.file.name, case.file.stem, str(run / case.file.parts[0]))
    own = [line for line in lines if any(place in line for place in places)]
    differing: list[str] = []
    if ended.status == 0 and case.step.makes:
        try:
            differing = unlike(whole[_key(case.step, case.continued)] / case.step.makes, run / case.step.makes)
        except Exception as error:  # what is left in the run cannot even be read
            differing = [type(error).__name__, case.file.name]
    if not broken:
        outcome = "nothing to damage"
    elif ended.hung:
        outcome = "hung"
    elif ended.status == TRACEBACK or "Traceback" in ended.output:
        outcome = "traceback"
    elif ended.status:
        named = [line for line in lines if line.startswith("Error: ") and str(run) in line]
        outcome = "refused by name" if named else "refused"
    elif sentences := [line for line in own if any(word in line for word in (*WORDS, *_of_versions(case)))]:
        outcome, own = "recovered with a sentence", sentences
    else:
        outcome = "silent" if differing else "no difference"
    line = (own or lines or [""])[-1 if ended.status else 0].replace(str(run), "RUN")
    shutil.rmtree(run)
    log.unlink(missing_ok=True)
    text = line if outcome != "silent" else f"{', '.join(differing)}; {line}"
    return {"what": case.name, "outcome": outcome, "told": text[-400:]}


#: Words that only the sentences about damage have.
WORDS = ("damaged", "missing", "There is no", "cut short", "again", "gap", "not recorded", "anew", "lines")


def _of_versions(case: Case) -> tuple[str, ...]:
    """A sentence about other versions comes whenever a stage goes on; it answers damage only of that kind."""
    return ("versions",) if case.kind == "of another version" else ()


def _key(step: Step, continued: bool) -> str:
    words = [step.name, *(word.strip("-") for word in step.options if word not in (*RUN_OPTIONS, *CPU))]
    return "-".join(words).replace("/", "_") + ("-continued" if continued else "")


def _prepare(finished: Path, run: Path, step: Step, continued: bool) -> None:
    """A copy in which what the command makes is not there, or is to be continued."""
    copy(finished, run)
    if step.name != "pipeline":
        shutil.rmtree(run / "round-1", ignore_errors=True)
    if continued:
        reopened(run / step.makes)
    elif step.makes and (run / step.makes).is_dir():
        shutil.rmtree(run / step.makes)


def _placed(step: Step, run: Path) -> Step:
    return replace(step, options=tuple(word.replace("RUN", str(run)) for word in step.options))


def break_file(path: Path, kind: str, other: Path, rng: random.Random) -> bool:
    """Do one kind of damage; False where it would change nothing."""
    before = path.read_bytes()
    if kind == "missing":
        path.unlink()
        return True
    content = bytearray(before)
    if kind == "cut":
        content = content[: rng.randrange(len(content))] if content else content
    elif kind == "bit flip" and content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "garbage":
        content = bytearray(rng.randbytes(max(len(content), 1)))
    elif kind == "of another run":
        content = bytearray(other.read_bytes()) if other.exists() else content
    elif kind == "of another version":
        content = bytearray(_of_another_version(path, before, rng))
    path.unlink()  # it may be a link to the whole one
    path.write_bytes(content)
    return bytes(content) != before


def _of_another_version(path: Path, before: bytes, rng: random.Random) -> bytes:
    """As a version with other names, or another format, would have written the file."""
    if path.name == "manifest.json":
        facts = read_json(path)
        if rng.random() < 0.5:
            facts["format"] = facts["format"] + 1
        else:
            facts["versions"] = {**facts["versions"], "torch": "1.0.0", "gymnasium": "0.1"}
        write_json(path, facts)
        return path.read_bytes()
    if path.suffix == ".json":
        facts = read_json(path)
        first = next(iter(facts))
        write_json(path, {f"new_{name}" if name == first else name: value for name, value in facts.items()})
        return path.read_bytes()
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in before.decode().splitlines()]
        renamed = [{f"new_{name}": value for name, value in line.items() if name != "check"} for line in lines]
        return "".join(json.dumps(line) + "\n" for line in renamed).encode()
    if path.suffix == ".pt":
        state = torch.load(path, weights_only=True)
        first = next(name for name in state if name not in ("stage", "lines", "step"))
        content = io.BytesIO()
        torch.save({f"new_{name}" if name == first else name: value for name, value in state.items()}, content)
        return content.getvalue()
    if path.suffix == ".safetensors":
        return save({f"new_{name}": tensor for name, tensor in load(before).items()})
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        with np.load(path, allow_pickle=False) as arrays:
            content = io.BytesIO()
            kept: dict[str, Any] = {f"new_{name}" if name == names[0] else name: arrays[name] for name in names}
            np.savez_compressed(content, **kept)
            return content.getvalue()
    return before
