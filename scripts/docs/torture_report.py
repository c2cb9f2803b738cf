"""What the torture found, for people: docs/torture/README.md, and every row beside it as JSON."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rollouts.runs.files import atomic_path, write_json
from rollouts.runs.provenance import package_versions

Row = dict[str, Any]
TITLES = {
    "damages": "Damaged files",
    "options": "Options that make no sense",
    "environments": "Environments that misbehave",
    "page": "The live page",
    "processes": "Two processes on one run",
    "resume": "Going on after many generations",
    "kills": "Kills",
}
MEANT = {
    "damages": "One file of a copy of a finished run is cut at random, one of its bits is flipped, it is filled with "
    "random bytes, deleted, taken from another run, or written as another version would have; then the command that "
    "reads it, or goes on with it, is run. *No difference*: what was made is the same, bit for bit, and nothing was "
    "said: the command had no use for what was damaged, or a cache was filled again.",
    "options": "One option of a command with a value that cannot be meant. It is to be refused before anything is "
    "trained or recorded.",
    "environments": "An environment of the user's that does what an environment must not, or cannot be had.",
    "page": "Messages that no page sends, connections that say half of what they should, other hosts and origins; the "
    "page must still work afterwards, and its memory stay bounded.",
    "processes": "A second process is started on a stage in which one works.",
    "resume": "The same command again, after so many generations.",
    "kills": "A stage is killed (SIGKILL) after random times, started again and again until it is through, and "
    "compared with one that nobody killed, bit for bit.",
}
BAD = (
    *("silent", "traceback", "hung", "different", "failed", "refused"),
    *("accepted", "late", "crashed", "slow", "grown", "wrong"),
)


def write(rows: Sequence[Row], out: Path) -> None:
    """Write both files."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "results.json", {"versions": package_versions(), "rows": list(rows)})
    with atomic_path(out / "README.md") as temporary:
        notes = out / "notes.txt"
        temporary.write_text(page(rows, notes.read_text("utf-8") if notes.exists() else ""), encoding="utf-8")


def page(rows: Sequence[Row], notes: str = "") -> str:
    """Markdown: a table of what was tried, notes by hand, then every row that is not as it should be."""
    versions = package_versions()
    lines = [
        "# What becomes of runs that are broken",
        "",
        "`python scripts/docs/torture.py` writes this page and [results.json](results.json), which has every row; "
        f"Python {versions['python']}, PyTorch {versions.get('torch')}, {platform.system()}, {os.cpu_count()} cores.",
        "",
        "| what | tried | outcomes |",
        "|---|---|---|",
    ]
    real = [row for row in rows if row["outcome"] != "nothing to damage"]  # two runs that have the same file
    by_test = {test: [row for row in real if row["test"] == test] for test in TITLES}
    for test, tried in by_test.items():
        if tried:
            counts = Counter(row["outcome"] for row in tried)
            outcomes = ", ".join(f"{count} {name}" for name, count in counts.most_common())
            lines.append(f"| {TITLES[test]} | {len(tried)} | {outcomes} |")
    if untried := [TITLES[test] for test, tried in by_test.items() if not tried]:
        lines += ["", f"Not tried here: {', '.join(untried)}."]
    killed = by_test["kills"]
    if killed:
        total = sum(row["kills"] for row in killed)
        lines += ["", f"{len(killed)} runs were killed {total} times in all."]
    if notes:
        lines += ["", notes.strip()]
    for test, tried in by_test.items():
        if tried:
            lines += ["", f"## {TITLES[test]}", "", MEANT[test], ""]
            lines += _details(test, tried)
    return "\n".join(lines) + "\n"


def _details(test: str, tried: Sequence[Row]) -> list[str]:
    right = ("refused",) if test in ("options", "environments") else ()  # a sentence is all that is asked of these
    bad = [row for row in tried if row["outcome"] in BAD and row["outcome"] not in right]
    if test in ("page", "processes", "resume"):
        return [f"* {row['what']}: {row['outcome']}. {row['told']}" for row in tried]
    if not bad:
        groups = Counter((_group(test, row["what"]), row["outcome"]) for row in tried)
        return [f"* {what}: {count} {outcome}" for (what, outcome), count in sorted(groups.items())]
    return ["| what | outcome | last words |", "|---|---|---|"] + [
        f"| {_cell(row['what'])} | {row['outcome']} | {_cell(row['told'])[:200]} |" for row in bad
    ]


def _group(test: str, what: str) -> str:
    """The kind of damage, the command, the stage."""
    return what.split(" | ")[1] if test == "damages" else what if test == "kills" else what.split(":")[0]


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
