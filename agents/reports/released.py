"""What the card of a released agent says of its making: releases come without the stages that led to them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agents.reports.reading import RunFacts

_ROW = re.compile(r"^\| (\d+) \| (\S+) \| (.*?) \| ([\d,]+|–) \| ([\d,]+|–) \| (.*?) \|$", re.MULTILINE)
_TIME = re.compile(r"(\d+) (h|min|s)\b")
SECONDS = {"h": 3600, "min": 60, "s": 1}


@dataclass(frozen=True)
class Row:
    """A stage of a round in the books."""

    round: int
    stage: str
    what: str
    environment_steps: int = 0
    imagined_steps: int = 0
    seconds: float = 0.0
    complete: bool = True


def is_release(run: RunFacts) -> bool:
    """Whether an agent's card lies beside it, and the episodes that it was made from do not."""
    return (run.path / "README.md").is_file() and not run.of("rollouts") and bool(run.of("controller"))


def card_rows(run: RunFacts) -> list[Row]:
    """Stages and costs as the card has them."""
    return [
        Row(int(number), stage, what, _count(steps), _count(imagined), _seconds(time))
        for number, stage, what, steps, imagined, time in _ROW.findall(_card(run))
    ]


def card_commands(run: RunFacts) -> list[str]:
    """The commands as the card has them."""
    match = re.search(r"^## How it was made\n.*?```bash\n(.*?)\n```", _card(run), re.MULTILINE | re.DOTALL)
    return match[1].splitlines() if match else []


def _card(run: RunFacts) -> str:
    return run.tried(lambda: (run.path / "README.md").read_text(encoding="utf-8", errors="replace"), "")


def _count(text: str) -> int:
    return int(text.replace(",", "")) if text != "–" else 0


def _seconds(text: str) -> float:
    return float(sum(int(number) * SECONDS[unit] for number, unit in _TIME.findall(text)))
