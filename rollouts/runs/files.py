"""Files that are never half-written, and configurations as JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rollouts.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place on success, delete it on failure.

    Raises:
        UserError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full: {path} could not be written. Free some space and run the same command "
                "again; it continues from the last complete file."
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def replace_folder(folder: Path, target: Path) -> None:
    """Put ``folder`` in the place of ``target``, which is there, old or new, but for the moment between two renames."""
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    if target.exists():
        target.rename(aside)
    try:
        folder.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Delete what killed processes left half-written in ``folder``; files of processes that live are kept."""
    for file in folder.rglob(".*.tmp"):
        owner = file.name.split(".")[-2]
        if owner.isdigit() and int(owner) != os.getpid() and not _alive(int(owner)):
            file.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a damaged file is named.

    Raises:
        UserError: the file is missing or is no JSON object.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}). Delete it and run its stage again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (it holds no object). Delete it and run its stage again.")
    return value


def read_json_lines(path: Path, key: str) -> list[dict[str, Any]]:
    """Records of a file with one JSON object per line, up to the first that is damaged (cut short by a kill, say).

    ``key`` is one that every whole record has. A missing file has no records.
    """
    records = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(record, dict) or key not in record:
            break
        records.append(record)
    return records


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file by these records, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))


def append_json_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add one record at the end."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def fingerprint(value: object) -> str:
    """Twelve hexadecimal digits that identify a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def file_hash(path: Path) -> str:
    """Twelve hexadecimal digits that identify a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:12]
