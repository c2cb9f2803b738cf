"""Break runs, options, environments and the live page in every way, and see what becomes of them.

python scripts/docs/torture.py --quick
python scripts/docs/torture.py --minutes 240 --work /tmp/torture
python scripts/docs/torture.py --only damages --damages 50

Runs are of seconds (the pipeline of tests/faults), commands in forked processes. What was tried is kept in --work, and
the same command goes on from there. Writes docs/torture/results.json and docs/torture/README.md.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tyro

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import torture_damage as damages  # noqa: E402
import torture_kills as kills  # noqa: E402
import torture_mistakes as mistakes  # noqa: E402
import torture_page as live  # noqa: E402
import torture_rest as rest  # noqa: E402
from torture_report import write  # noqa: E402
from torture_runs import CPU, IMAGES, RUN_OPTIONS, STAGES, command, forked, warm  # noqa: E402

from rollouts.runs.files import append_json_line, read_json_lines  # noqa: E402

TESTS = ("damages", "options", "environments", "page", "processes", "resume", "kills")
Row = dict[str, Any]


@dataclass(frozen=True)
class Arguments:
    """How much to break."""

    kills: int = 200
    """Runs that are killed, each until it is through, over all stages in turn."""
    damages: int = 300
    """Files that are damaged, one in a run at a time."""
    options: int = 320
    """Options that make no sense."""
    environments: int = 80
    """Environments that misbehave."""
    messages: int = 10_000
    """Malformed messages to the live page."""
    connections: int = 500
    """Connections to the live page that say half of what they should."""
    generations: int = 10_000
    """Of the evolution that is resumed."""
    minutes: float = 240.0
    """Stop after so long, with what was done by then."""
    seed: int = 0
    """Of the choices."""
    only: tuple[str, ...] = TESTS
    """Some of the tests: damages, options, environments, page, processes, resume, kills."""
    work: Path | None = None
    """Where runs and what was tried are kept. Default: a temporary folder, which is removed."""
    out: Path = ROOT / "docs" / "torture"
    """The folder of the report."""
    quick: bool = False
    """A few of everything, in a minute or two."""


def main(arguments: Arguments) -> None:
    """Break, count, write."""
    warm()
    with tempfile.TemporaryDirectory() as temporary:
        rows = tried(arguments, arguments.work or Path(temporary))
    write(rows, arguments.out)


def tried(arguments: Arguments, work: Path) -> list[Row]:
    """All that was tried, now or before, in order."""
    work.mkdir(parents=True, exist_ok=True)
    book, ends = work / "rows.jsonl", time.monotonic() + 60 * arguments.minutes
    rows: list[Row] = [dict(row) for row in read_json_lines(book, "test")]
    done = {(row["test"], row["number"]) for row in rows}
    finished, other = runs(work)
    for test in arguments.only:
        for number, attempt in enumerate(attempts(test, arguments, work, finished, other)):
            if (test, number) in done:
                continue
            if time.monotonic() > ends:
                break
            began = time.monotonic()
            row = {"test": test, "number": number, **attempt(), "seconds": round(time.monotonic() - began, 2)}
            append_json_line(book, row)
            rows.append(row)
    return rows


def runs(work: Path) -> tuple[Path, Path]:
    """Two finished runs, of other episodes and seeds each."""
    pair = work / "finished", work / "other"
    unlike = ("--collect.max-steps", "25", "--vae.seed", "5", "--mdnrnn.seed", "5", "--controller.seed", "5")
    for run, options in zip(pair, ((), unlike), strict=True):
        for name, more in (("pipeline", (*RUN_OPTIONS, *options)), ("train_images", (*IMAGES["gan"], *CPU))):
            marker = run / f"{name}.done"
            if not marker.exists():
                seed = ("--seed", "5") if options and name == "train_images" else ()
                ended = forked(command(name, "--run", run, *more, *seed), work / f"{run.name}.log")
                if ended.status:
                    raise RuntimeError(f"{name} ended with {ended.status}: {ended.output[-2000:]}")
                marker.touch()
    return pair


def attempts(
    test: str, arguments: Arguments, work: Path, finished: Path, other: Path
) -> Iterator[Callable[[], Row]]:
    """What a test tries, each as a function that does it."""
    quick, run = arguments.quick, work / f"run-{test}"

    def chance(number: int) -> random.Random:
        return random.Random(f"{arguments.seed} {test} {number}")

    if test == "damages":
        cases = [*damages.cases(finished), *damages.of_rounds(finished)]
        random.Random(arguments.seed).shuffle(cases)
        cases = cases[: 4 if quick else arguments.damages]
        whole = damages.references(cases, finished, work / "references")
        for number, case in enumerate(cases):
            yield partial(damages.damage, case, finished, other, whole, run, chance(number))
    elif test == "kills":
        names = [[*STAGES][number % len(STAGES)] for number in range(2 if quick else arguments.kills)]
        undisturbed = kills.references(names, finished, work / "undisturbed")
        for number, name in enumerate(names):
            yield partial(kills.kill, name, finished, undisturbed[name], run, chance(number))
    elif test == "options":
        yield from mistakes.options(finished, run, 8 if quick else arguments.options, arguments.seed)
    elif test == "environments":
        yield from mistakes.environments(run, 4 if quick else arguments.environments, arguments.seed)
    elif test == "page":
        count, many = (200, 20) if quick else (arguments.messages, arguments.connections)
        yield from live.attempts(finished, run, count, many, arguments.seed)
    elif test == "processes":
        yield from rest.two_processes(finished, run)
    elif test == "resume":
        yield lambda: rest.resume(finished, run, 200 if quick else arguments.generations)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
