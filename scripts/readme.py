"""The README's generated sections: between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""

from __future__ import annotations

from pathlib import Path

from rollouts.artifacts import atomic_path
from rollouts.errors import UserError

README = Path(__file__).parent.parent / "README.md"


def rewrite_readme(name: str, text: str) -> None:
    """Put ``text`` in the place of section ``name``.

    Raises:
        UserError: the README has no such section.
    """
    before, begin, rest = README.read_text().partition(f"<!-- {name}:begin -->\n")
    _, end, after = rest.partition(f"<!-- {name}:end -->")
    if not end:
        raise UserError(f"{README} has no section between <!-- {name}:begin --> and <!-- {name}:end -->.")
    with atomic_path(README) as temporary:
        temporary.write_text(before + begin + text + "\n" + end + after)
