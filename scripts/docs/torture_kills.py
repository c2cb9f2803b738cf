"""Runs that are killed at random, again and again until they are through: they must equal one that was not."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torture_runs import LIMIT_S, STAGES, copy, forked, unlike

Row = dict[str, Any]


def references(names: Iterable[str], finished: Path, place: Path) -> dict[str, tuple[Path, float]]:
    """These stages as they are when nobody kills them, and the seconds that they take; computed once, then read."""
    results = dict[str, tuple[Path, float]]()
    for name in dict.fromkeys(names):
        step = STAGES[name]
        folder = place / name.replace(":", "").replace(" ", "-")
        note = folder.with_suffix(".seconds")
        if not note.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            copy(finished, folder, step.needs)
            ended = forked(step.work(folder), folder.with_suffix(".log"))
            if ended.status:
                raise RuntimeError(f"{name} ended with {ended.status}: {ended.output[-2000:]}")
            note.write_text(str(ended.seconds))
        results[name] = folder, float(note.read_text())
    return results


def kill(name: str, finished: Path, reference: tuple[Path, float], run: Path, rng: random.Random) -> Row:
    """Kill a stage after random times until it is through; longer each time, so that it comes to an end."""
    step, (whole, seconds) = STAGES[name], reference
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    copy(finished, run, step.needs)
    log, kills, patience = run.with_suffix(".log"), 0, rng.uniform(0.05, 1.0) * seconds
    while True:
        ended = forked(step.work(run), log, patience)
        if ended.status != -9 or ended.hung:
            break
        kills, patience = kills + 1, patience * rng.uniform(1.0, 1.6)
        if patience > LIMIT_S:
            break
    differing = unlike(step.result(whole), step.result(run)) if ended.status == 0 else []
    outcome = "hung" if ended.hung else "failed" if ended.status else "bit-equal" if not differing else "different"
    last = ended.output.strip().splitlines()[-1] if ended.status and ended.output.strip() else ", ".join(differing)
    shutil.rmtree(run)
    log.unlink(missing_ok=True)
    return {"what": name, "kills": kills, "outcome": outcome, "told": last.replace(str(run), "RUN")[-300:]}
