"""Break runs at random and see what becomes of them: kills in every stage, and damage to every file.

python scripts/docs/torture.py --kills 20 --damages 100
python scripts/docs/torture.py --kills 200 --damages 300 --minutes 120

Every command works on a pipeline of seconds (that of tests/faults). A killed run that is continued must equal one that
was not, bit for bit. A damaged file must be refused or named in one sentence, or make no difference to what is made.
Writes docs/torture.json and docs/torture.md.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import tyro

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from rollouts.runs.files import read_json, write_json  # noqa: E402
from rollouts.runs.layout import Run  # noqa: E402
from tests.faults.helpers import call, differences  # noqa: E402

COMMAND_OF = {"rollouts": "collect", "vae": "train_vae", "mdnrnn": "train_mdnrnn", "controller": "train_controller"}
STAGES = list(COMMAND_OF)
KINDS = ("cut", "bit flip", "garbage", "missing", "of another stage")
RESUMED = ("state.pt", "history.jsonl", "metrics.jsonl")  #: read when a stage goes on; all else when it is used
COMMON = ("--preset", "tiny", "--device", "cpu", "--workers", "0")


@dataclass(frozen=True)
class Arguments:
    """How much to break."""

    kills: int = 20
    """Runs that are killed, each until it is through."""
    damages: int = 100
    """Files that are damaged, one in a run at a time."""
    minutes: float = 10.0
    """Stop after so long, with what was done by then."""
    seed: int = 0
    """Of the choices."""
    finished: Path | None = None
    """A finished run of this script's pipeline, to save the time of making one."""
    out: Path = ROOT / "docs" / "torture"
    """The report, as .json and .md."""


def main(arguments: Arguments) -> None:
    """Kill, damage, count, write."""
    rng, ends, began = random.Random(arguments.seed), time.monotonic() + 60 * arguments.minutes, time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        finished = arguments.finished or Path(temporary) / "finished"
        if not finished.exists():
            quietly("pipeline", finished)
        kills, killed = [], Counter[str]()
        for number in range(arguments.kills):
            if time.monotonic() > began + (ends - began) / 2:
                break
            kills.append(kill(finished, Path(temporary) / f"kill-{number}", STAGES[1:][number % 3], rng))
            killed[kills[-1]["outcome"]] += 1
        damages = list[dict[str, str]]()
        files = sorted(
            file.relative_to(finished)
            for stage in STAGES
            for file in (finished / stage).rglob("*")
            if file.is_file() and "tfevents" not in file.name and file.suffix != ".png"
        )
        cases = [(file, kind) for file in files for kind in KINDS]
        rng.shuffle(cases)
        for number, (file, kind) in enumerate(cases[: arguments.damages]):
            if time.monotonic() > ends:
                break
            damages.append(damage(finished, Path(temporary) / f"damage-{number}", file, kind, rng))
    report = {
        "seconds": round(time.monotonic() - began),
        "kills": {"runs": len(kills), "kills": sum(int(row["kills"]) for row in kills), **killed},
        "damages": {"files": len(damages), **Counter(row["outcome"] for row in damages)},
        "rows": [*kills, *damages],
    }
    write_json(arguments.out.with_suffix(".json"), report)
    arguments.out.with_suffix(".md").write_text(page(report), encoding="utf-8")
    print(page(report))


def kill(finished: Path, run: Path, stage: str, rng: random.Random) -> dict[str, str]:
    """Kill a stage after random times until it is through; twice as long each time, so that it comes to an end."""
    for name in STAGES[: STAGES.index(stage)]:
        shutil.copytree(finished / name, run / name)
    command = [sys.executable, str(ROOT / "tests" / "faults" / "victim.py"), COMMAND_OF[stage]]
    command += COMMON if stage == "controller" else COMMON[:4]  # fitting has no workers
    command += ["--run", str(run)]
    kills, patience = 0, rng.uniform(2.0, 12.0)
    while True:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
        try:
            status = process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills, patience = kills + 1, patience * rng.uniform(1.0, 2.0)
    unlike = differences(finished / stage, run / stage)
    outcome = "failed" if status else "bit-equal" if not unlike else "different"
    shutil.rmtree(run)
    return {"test": "kill", "what": stage, "kills": str(kills), "outcome": outcome, "told": ", ".join(unlike)}


def damage(finished: Path, run: Path, file: Path, kind: str, rng: random.Random) -> dict[str, str]:
    """Damage one file of a copy, and run the command that reads it."""
    shutil.copytree(finished, run)
    shutil.rmtree(Run(run).round(1).path, ignore_errors=True)
    stage = file.parts[0]
    later = STAGES[STAGES.index(stage) + 1 :]
    if file.name in RESUMED:
        manifest = Run(run).stage(stage).manifest_file
        write_json(manifest, {**read_json(manifest), "complete": False})
        remade, command = stage, COMMAND_OF[stage]
    elif later:
        remade, command = later[0], COMMAND_OF[later[0]]
        shutil.rmtree(run / remade)
    else:
        remade, command = "", "evaluate"
    break_file(run / file, kind, finished, rng)
    status, output = quietly(command, run)
    sentences = [line for line in output.splitlines() if str(run) in line and "it/s]" not in line]
    unlike = differences(finished / remade, run / remade) if remade and not status else []
    if status == -1:
        outcome = "traceback"
    elif status:
        outcome = "refused by name" if any("Error: " in line for line in sentences) else "refused"
    elif any(file.name in line or "damaged" in line for line in sentences):
        outcome = "named, and gone on"
    else:
        outcome = "no difference" if set(unlike) <= {file.name} and file.name not in unlike else "silent"
    shutil.rmtree(run)
    line = (sentences or [output.strip().splitlines()[-1] if output.strip() else ""])[-1].replace(str(run), "RUN")
    return {"test": "damage", "what": str(file), "kind": kind, "outcome": outcome, "told": line[-300:]}


def break_file(path: Path, kind: str, finished: Path, rng: random.Random) -> None:
    """Do one kind of damage."""
    content = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
        return
    if kind == "cut":
        content = content[: rng.randrange(len(content))] if content else content
    elif kind == "bit flip" and content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "garbage":
        content = bytearray(rng.randbytes(max(len(content), 1)))
    elif kind == "of another stage":
        others = sorted(other for other in finished.glob(f"*/{path.name}") if other.parent.name != path.parent.name)
        others += sorted(other for other in path.parent.glob(f"*{path.suffix}") if other != path)
        content = bytearray(others[0].read_bytes()) if others else bytearray(b"{}")
    path.write_bytes(content)


def quietly(command: str, run: Path) -> tuple[int, str]:
    """A command in this process: its exit status, -1 for a traceback, and what it said."""
    said = io.StringIO()
    options: tuple[object, ...] = ("--run", run, *COMMON)
    if command == "evaluate":
        options = ("--agent", run, "--episodes", "1", "--workers", "0")
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            return call(command, *options), said.getvalue()
        except Exception:  # what is counted here
            said.write(traceback.format_exc())
            return -1, said.getvalue()


def page(report: dict[str, object]) -> str:
    """The report for people."""
    rows: list[dict[str, str]] = report["rows"]  # type: ignore[assignment]
    kills: dict[str, int] = report["kills"]  # type: ignore[assignment]
    damages: dict[str, int] = report["damages"]  # type: ignore[assignment]
    bad = [row for row in rows if row["outcome"] in ("silent", "traceback", "different", "failed", "refused")]
    lines = [
        "# What becomes of runs that are broken",
        "",
        f"`scripts/docs/torture.py`, {report['seconds']} seconds, {os.cpu_count()} cores.",
        "",
        f"* Kills: {kills['kills']} in {kills['runs']} runs, of which {kills.get('bit-equal', 0)} ended bit-equal to "
        "one that was never killed.",
        f"* Damaged files: {damages['files']}. "
        + ", ".join(f"{count} {name}" for name, count in damages.items() if name != "files")
        + ".",
        "",
        "| file | damage | outcome | last words |",
        "|---|---|---|---|",
        *(f"| {row['what']} | {row.get('kind', 'kill')} | {row['outcome']} | {row['told'][:160]} |" for row in bad),
    ]
    return "\n".join(lines if bad else lines[:-2]) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
