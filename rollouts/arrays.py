"""Arrays out of .npz files that others wrote: nothing is unpickled, and no header is believed before it is checked."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    RuntimeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""All that NumPy and zipfile raise, between them, for a file that is not what it should be."""


def array_names(file: Path) -> list[str]:
    """The names of the arrays in a .npz file.

    Raises:
        one of :data:`DAMAGE`: it is no such file.
    """
    with _opened(file) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_arrays(file: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Some arrays of a .npz file.

    A header that promises another size than the file has (a hundred gigabytes, or a negative count) is refused before
    memory is set aside for it.

    Raises:
        one of :data:`DAMAGE`: the file is damaged, lacks an array, or holds objects or complex numbers.
    """
    arrays = {}
    with _opened(file) as archive:
        present = set(archive.namelist())
        for name in names:
            if f"{name}.npy" not in present:
                raise KeyError(f"it has no array {name!r}")
            entry = archive.getinfo(f"{name}.npy")
            with archive.open(entry) as content:
                _check_header(content, entry.file_size, name)
            with archive.open(entry) as content:
                arrays[name] = npy.read_array(content, allow_pickle=False)
    return arrays


def _opened(file: Path) -> zipfile.ZipFile:
    with file.open("rb") as content:
        if content.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):  # zipfile would also find an archive further on
            raise ValueError("it is no .npz archive")
    return zipfile.ZipFile(file)


def _check_header(content: Any, size: int, name: str) -> None:
    version = npy.read_magic(content)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"the array {name!r} is of NumPy's format {version}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(content)
    if dtype.hasobject:
        raise ValueError(f"the array {name!r} holds pickled objects, which are never loaded")
    if dtype.kind not in "biufUS":
        raise ValueError(f"the array {name!r} is of type {dtype}, which are no plain numbers")
    if any(count < 0 for count in shape) or math.prod(shape) * dtype.itemsize != size - content.tell():
        raise ValueError(f"the header of the array {name!r} promises {list(shape)} of {dtype}, which it does not hold")
