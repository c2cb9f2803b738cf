"""Release: put the newest agent of a run into agents/pretrained/NAME, with a model card, so that anyone can watch it.

python scripts/release.py --agent runs/car --name carracing
python scripts/evaluate.py --agent pretrained/carracing --out agents/pretrained/carracing/evaluation.json
python scripts/release.py --agent runs/car --name carracing
"""

from __future__ import annotations

from typing import Any

from cli import default_agent, main

from agents.release import release


def body(arguments: Any) -> None:
    """Release; the second time, the card has the score of the released files."""
    release(arguments.agent or default_agent(), arguments.name)


if __name__ == "__main__":
    main(
        __doc__,
        body,
        extra=(
            ("agent", str | None, None, "Run directory, or one of its rounds. Default: the newest run."),
            ("name", str, "carracing", "What it is called: pretrained/NAME."),
        ),
        needs_run=False,
    )
