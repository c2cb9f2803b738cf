"""A folder of pictures as samples: classes by sub-folder, everything that cannot be read named at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.generative.data.image_files import find_pictures, fit, glance, read_image, to_channels
from worldmodels.generative.data.samples import LoadOptions, Samples, choose_held_out, labelled, require_two
from worldmodels.generative.data.store import Pixels, unpack

NAMED = 20  #: broken pictures that are named; of more, the number is told


class FromFiles(NamedTuple):
    """Samples, and the numbers of the files that they are from."""

    samples: Samples
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def from_folder(name: str, folder: Path, options: LoadOptions) -> Samples:
    """All pictures below a folder; sub-folders are classes if every picture is in one."""
    return from_files(name, folder, find_pictures(folder), options).samples


def from_files(name: str, folder: Path, files: list[Path], options: LoadOptions) -> FromFiles:
    """Some of the pictures below a folder."""
    parents = [file.relative_to(folder).parts[0] if file.parent != folder else "" for file in files]
    names = sorted(set(parents))
    labels = None if "" in names or len(names) < 2 else np.array([names.index(parent) for parent in parents])
    with ThreadPoolExecutor(8) as pool:
        glances = list(pool.map(glance, files))
    size = options.size or common_size(files, [facts and (facts.width, facts.height) for facts in glances])
    channels = options.channels or 1
    for file, facts in zip(files, glances, strict=True):
        if channels == 3 or options.channels or facts is None:
            continue
        if facts.coloured or (facts.coloured is None and is_coloured(file)):
            channels = 3

    def read(index: int) -> Pixels:
        return to_channels(fit(read_image(files[index]), size, options.fit), channels)

    out = choose_held_out(len(files), labels, 0.1, options.seed)
    train, test, broken = unpack(read, out, (size, size, channels), options.memory, options.folder)
    if broken:
        tell_broken(folder, list(broken.values()), len(files), options.skip_broken)
    require_two(name, len(train) + len(test))
    kept = np.array([index not in broken for index in range(len(files))])
    samples = labelled(name, train, test, labels, out, kept, names if labels is not None else [])
    return FromFiles(samples, np.flatnonzero(~out & kept), np.flatnonzero(out & kept))


def is_coloured(file: Path) -> bool:
    """Whether a picture with transparency, which is laid on white, has any colour; a broken one has none."""
    try:
        return read_image(file).shape[-1] == 3
    except UserError:
        return False


def common_size(files: list[Path], sizes: list[tuple[int, int] | None], part: str = "") -> int:
    """The side that all pictures have.

    Args:
        part: of every file, if not all of it is meant.

    Raises:
        UserError: they differ, or are no squares.
    """
    readable = [(file, size) for file, size in zip(files, sizes, strict=True) if size is not None]
    if not readable:
        raise UserError(f"None of the {len(files)} pictures in {files[0].parent} can be read.")
    first, (side, _) = readable[0]
    for file, (width, height) in readable:
        if width != height or width != side:
            other = f" and {first.name} is {readable[0][1][0]}x{readable[0][1][1]}" if file != first else ""
            raise UserError(
                f"{part}{file} is {width}x{height}{other}; pictures of one square size are needed: choose one with "
                "--size."
            )
    return side


def tell_broken(folder: Path, reasons: list[str], count: int, skip: bool) -> None:
    """Name every picture that cannot be read.

    Raises:
        UserError: they are not to be skipped.
    """
    shown = "; ".join(reasons[:NAMED]) + (f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else "")
    if skip:
        say(f"{folder}: {len(reasons)} of {count} pictures are left out: {shown}.")
        return
    raise UserError(
        f"{len(reasons)} of {count} pictures in {folder} cannot be read: {shown}. Remove or replace "
        f"{'them' if len(reasons) > 1 else 'it'}, or leave {'them' if len(reasons) > 1 else 'it'} out with "
        "--skip-broken."
    )
