"""The lowest versions that pyproject.toml promises to work with, one requirement a line, for pip's ``-c``."""

from __future__ import annotations

import re
from pathlib import Path

NAMES_ONLY = {"dev"}  #: what only the tests need may be new
REQUIREMENT = re.compile(r'"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?>=([0-9][0-9.]*)')


def lowest(text: str) -> dict[str, str]:
    """The lower bound of every requirement in a pyproject.toml, by name.

    It is read line by line: Python 3.10 has no reader of TOML.
    """
    bounds, section = dict[str, str](), ""
    for line in text.splitlines():
        if opened := re.match(r"([a-z-]+) = \[", line):
            section = opened.group(1)
        elif line.startswith("["):
            section = ""
        if section and section not in {*NAMES_ONLY, "requires"}:
            for name, version in REQUIREMENT.findall(line):
                bounds.setdefault(name, version)
    return bounds


def exactly(name: str, version: str) -> str:
    """A requirement that admits this version alone, and what a packager has appended to it (4.9 -> 4.9.0.80)."""
    parts = [*version.split("."), "0", "0"][:3]
    return f"{name}>={version},<{'.'.join([*parts[:2], str(int(parts[2]) + 1)])}"


if __name__ == "__main__":
    for name, version in lowest((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")).items():
        print(exactly(name, version))
