"""The README's generated sections, between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``, and pictures for docs."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from rollouts.errors import UserError
from rollouts.runs.files import atomic_path

README = Path(__file__).parents[2] / "README.md"


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


def shrink(source: Path, target: Path) -> None:
    """A copy of a grid of samples at its original scale, half as wide, in as small a file as can be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    enlarged = Image.open(source)
    small = enlarged.resize((enlarged.width // 2, enlarged.height // 2), Image.Resampling.NEAREST)
    with atomic_path(target) as temporary:
        small.quantize(64).save(temporary, format="PNG", optimize=True)
