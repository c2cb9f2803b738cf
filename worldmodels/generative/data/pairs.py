"""Pairs of pictures from files: two folders with equal names, or both halves of every file. And two sets without pairs.

Inputs that are computed from single pictures are in ``making.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from rollouts.errors import UserError
from worldmodels.generative.data.folders import NAMED, common_size, is_coloured, tell_broken
from worldmodels.generative.data.image_files import (
    Glance,
    find_pictures,
    fit,
    glance,
    read_image,
    to_channels,
)
from worldmodels.generative.data.samples import LoadOptions, Samples, choose_held_out, require_two
from worldmodels.generative.data.store import Pixels, channels, unpack

Sides = Literal["left-right", "right-left"]


def two_folders(pictures: Path, inputs: Path, options: LoadOptions) -> Samples:
    """Target pictures, and their inputs, which have the same names in another folder.

    Names are compared without their endings, below their folders.

    Raises:
        UserError: a picture has no partner, cannot be read, or has another size.
    """
    targets, sources = (_by_name(folder) for folder in (pictures, inputs))
    alone = [str(folder / name) for folder, own, other in ((pictures, targets, sources), (inputs, sources, targets))
             for name in own if name not in other]  # fmt: skip
    if alone:
        shown = ", ".join(alone[:NAMED]) + (f" and {len(alone) - NAMED} more" if len(alone) > NAMED else "")
        raise UserError(f"{shown}: no such name in the other folder; {pictures} and {inputs} must hold pairs.")
    names = sorted(targets)
    glances = _glances([sources[name] for name in names]), _glances([targets[name] for name in names])
    files = [[folder[name] for name in names] for folder in (sources, targets)]
    size = options.size or common_size(files[0] + files[1], [_sides(facts) for part in glances for facts in part])
    many = [options.channels or _channels(*part) for part in zip(files, glances, strict=True)]

    def read(index: int) -> Pixels:
        parts = [read_image(part[index]) for part in files]
        return _side_by_side(parts, size, many, options)

    return _paired(str(pictures), pictures, read, len(names), size, many, options)


def halves(folder: Path, sides: Sides, options: LoadOptions) -> Samples:
    """Files whose left half is the input and whose right half is the target, or the other way round.

    Raises:
        UserError: a picture cannot be read, has no two halves, or another size.
    """
    files = find_pictures(folder)
    glances = _glances(files)
    half = [facts and (facts.width // 2, facts.height) for facts in glances]
    size = options.size or common_size(files, half, "each half of ")
    many = [options.channels or _channels(files, glances)] * 2

    def read(index: int) -> Pixels:
        picture = read_image(files[index])
        width = picture.shape[1]
        if width % 2:
            raise UserError(f"{files[index]} has no two halves: it is {width} pixels wide")
        parts = [picture[:, : width // 2], picture[:, width // 2 :]]
        return _side_by_side(parts if sides == "left-right" else parts[::-1], size, many, options)

    return _paired(str(folder), folder, read, len(files), size, many, options)


def unpaired(pictures: Samples, others: Samples) -> Samples:
    """Two sets without pairs, in any numbers: ``others`` are the inputs, ``pictures`` the targets.

    Raises:
        UserError: they are no pictures of one size.
    """
    if not (pictures.are_images and others.are_images) or pictures.size != others.size:
        raise UserError(
            f"{pictures.name} and {others.name} must be pictures of one size: choose one for both with --size."
        )
    return replace(
        pictures, train_labels=None, test_labels=None, class_names=(), train_other=others.train, test_other=others.test
    )


def _by_name(folder: Path) -> dict[str, Path]:
    """Pictures by their name below a folder, without the ending."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; pairs are two folders of pictures with equal names.")
    files: dict[str, Path] = {}
    for file in find_pictures(folder):
        name = str(file.relative_to(folder).with_suffix(""))
        if name in files:
            raise UserError(f"{files[name]} and {file} have one name: which of them belongs to a pair?")
        files[name] = file
    return files


def _glances(files: list[Path]) -> list[Glance | None]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(glance, files))


def _sides(facts: Glance | None) -> tuple[int, int] | None:
    return facts and (facts.width, facts.height)


def _channels(files: list[Path], glances: list[Glance | None]) -> int:
    """3 if one of them is coloured."""
    for file, facts in zip(files, glances, strict=True):
        if facts is not None and (facts.coloured or (facts.coloured is None and is_coloured(file))):
            return 3
    return 1


def _side_by_side(parts: list[Pixels], size: int, many: list[int], options: LoadOptions) -> Pixels:
    """The channels of both, one after the other, ``[size, size, sum(many)]``."""
    return np.concatenate(
        [to_channels(fit(part, size, options.fit), count) for part, count in zip(parts, many, strict=True)], -1
    )


def _paired(
    name: str,
    folder: Path,
    read: Callable[[int], Pixels],
    count: int,
    size: int,
    many: list[int],
    options: LoadOptions,
) -> Samples:
    """Read both of every pair into one place, so that they stay together; the input's channels come first."""
    require_two(name, count)
    out = choose_held_out(count, None, 0.1, options.seed)
    train, test, broken = unpack(read, out, (size, size, sum(many)), options.memory, options.folder)
    if broken:
        tell_broken(folder, list(broken.values()), count, options.skip_broken)
    require_two(name, len(train) + len(test))
    first, second = slice(0, many[0]), slice(many[0], None)
    return Samples(
        name,
        channels(train, second),
        channels(test, second),
        train_condition=channels(train, first),
        test_condition=channels(test, first),
    )
