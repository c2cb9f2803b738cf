"""Files that are never half-written, and configurations as JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rollouts.console import say
from rollouts.errors import UserError
from rollouts.runs.place import alive, place

WINDOWS = os.name == "nt"
RETRIES, RETRY_S = 20, 0.1  #: Windows refuses to replace a file that somebody reads at that moment
ABANDONED_S = 86_400.0  #: a temporary file of another machine or container that nobody has touched for a day
STAGE_FILES = ("manifest.json", "config.json")  #: without which nobody can tell what a stage was made with
SEALED = (*STAGE_FILES, "diagnostics.json", "evaluation.json", "run.json")  #: these have checksums
#: What systems answer that cannot sync a folder.
_NO_FOLDER_SYNC = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOTSUP, errno.EPERM)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place on success, delete it on failure.

    Raises:
        UserError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{place()}.tmp")
    try:
        yield temporary
        with temporary.open("r+b") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())
        _move(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full: {path} could not be written. Free some space and run the same command "
                "again; it continues from the last complete file."
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those that it lies in, where they are not there.

    Raises:
        UserError: no folder can be made there, as under /proc, or on a drive that is gone.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise UserError(f"No folder can be made at {path}: choose another --run.") from error


def _move(temporary: Path, path: Path) -> None:
    """Put a file in its place; on Windows as soon as nobody reads the old one."""
    for left in reversed(range(RETRIES if WINDOWS else 1)):
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if not left:
                raise
            time.sleep(RETRY_S)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    if WINDOWS:
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # a folder that may be written to and not be read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def replace_folder(folder: Path, target: Path) -> None:
    """Put ``folder`` in the place of ``target``, which is there, old or new, but for the moment between two renames.

    Of a link, only the link is replaced.
    """
    aside = target.with_name(f".{target.name}.{os.getpid()}-{place()}.tmp")
    if target.exists():
        target.rename(aside)
    try:
        folder.rename(target)
    except OSError:
        if aside.exists():
            aside.rename(target)
        raise
    if aside.is_symlink():
        aside.unlink()
    else:
        shutil.rmtree(aside, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder and all that is in it.

    Raises:
        UserError: it is a link to another one, which may be somebody else's.
    """
    if folder.is_symlink():
        raise UserError(f"{folder} is a link to {folder.readlink()}, which is not deleted; remove the link yourself.")
    shutil.rmtree(folder)


def sweep(folder: Path) -> None:
    """Delete what killed processes left half-written in ``folder``; files of processes that live are kept.

    Numbers of processes mean nothing in another container or on another machine: of those, files go after a day.
    """
    for file in folder.rglob(".*.tmp"):
        process, _, where = file.name.split(".")[-2].partition("-")
        if not process.isdigit() or file.is_dir() or (int(process) == os.getpid() and where == place()):
            continue
        try:
            if not alive(int(process)) if where == place() else time.time() - file.stat().st_mtime > ABANDONED_S:
                file.unlink(missing_ok=True)
        except FileNotFoundError:  # its process has just finished it
            continue


class Facts(dict[str, Any]):
    """What a JSON file holds. One that lacks something is named with what it lacks."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        super().__init__(values)
        self.path = path
        self.of: str | None = None  #: the stage that it says it belongs to

    @property
    def anew(self) -> str:
        """What to do if it is damaged."""
        return _anew(self.path)

    def __missing__(self, key: str) -> Any:
        raise UserError(f"{self.path} is damaged (it has no {key!r}). {self.anew}")


def _anew(path: Path) -> str:
    if path.name in STAGE_FILES:
        return f"Delete the folder {path.parent} to make it anew."
    return "Put back a copy of that file, or delete it."


def write_json(path: Path, value: object, of: str | None = None) -> None:
    """Write ``value`` as indented JSON, atomically; the files of a run (:data:`SEALED`) end with a checksum.

    Args:
        of: what identifies the stage that the file belongs to, and no other; it is written beside the checksum.
    """
    if path.name in SEALED and isinstance(value, Mapping):
        value = {**value, **({"of": of} if of else {})}
        value["check"] = _seal(value)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _seal(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def read_json(path: Path) -> Facts:
    """Read a JSON object; a damaged file is named. One without a checksum, of an older version, is believed.

    Raises:
        UserError: the file is missing, is no JSON object, or is not as it was written.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}). {_anew(path)}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (it holds no object). {_anew(path)}")
    if path.name not in SEALED:
        return Facts(value, path)
    seal = value.pop("check", None)
    if seal is not None and seal != _seal(value):
        raise UserError(
            f"{path} is damaged, or was changed by hand (its checksum is another one). {_anew(path)} If the change was "
            'meant, remove the entry "check" as well.'
        )
    facts = Facts(value, path)
    facts.of = facts.pop("of", None)
    return facts


def read_json_lines(path: Path, key: str, of: str | None = None) -> list[Facts]:
    """Records of a file with one JSON object per line; a last line that a kill cut short is left out.

    ``key`` is one that every whole record has. A missing file has no records.

    Args:
        of: as in :func:`append_json_line`, of a stage all of whose lines have checksums; without it they are not
            looked at.

    Raises:
        UserError: another line than the last is damaged, or of another run; the file stays as it is.
    """
    records: list[Facts] = []
    lines = path.read_bytes().rstrip(b"\n").split(b"\n") if path.exists() and path.stat().st_size else []
    for number, line in enumerate(lines, 1):
        fault = None
        try:
            text = line.decode("utf-8")
            record = json.loads(text)
            if not isinstance(record, dict):
                fault = "it is no object"
            elif key not in record:
                fault = f"it has no {key!r}"
            elif record.pop("check", None) != _line_seal(text[: text.rfind(_CHECK)], of) and of:
                fault = "it has another checksum: it was changed, or is of another run"
        except (ValueError, RecursionError) as error:
            fault = str(error)
        if fault is None:
            records.append(Facts(record, path))
        elif number < len(lines):
            raise UserError(
                f"Line {number} of {path} is damaged ({fault}); {len(lines) - number} more follow it, and nothing was "
                f"changed. Put back a copy of that file, or delete the folder {path.parent} to start that stage anew."
            )
        elif line.strip():
            say(f"The last line of {path} was cut short; what stood there is done again.")
    return records


_CHECK = ', "check": "'  #: stands between a record and its checksum


def _line(record: Mapping[str, Any], of: str | None) -> str:
    text = json.dumps(record)
    return text if of is None else f'{text[:-1]}{_CHECK}{_line_seal(text[:-1], of)}"}}'


def _line_seal(text: str, of: str | None) -> str:
    return hashlib.sha256(f"{of}{text}".encode()).hexdigest()[:12]


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]], of: str | None = None) -> None:
    """Replace the file by these records, atomically; ``of`` as in :func:`append_json_line`."""
    with atomic_path(path) as temporary:
        text = "".join(_line(record, of) + "\n" for record in records)
        temporary.write_text(text, encoding="utf-8", newline="\n")


def append_json_line(path: Path, record: Mapping[str, Any], sync: bool = False, of: str | None = None) -> None:
    """Add one record at the end; with ``sync``, so that it lasts through a power cut.

    Args:
        of: what identifies the stage that the file belongs to. Each line then ends with a checksum of itself and this:
            lines that were changed, or are of another run, are found out.
    """
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(_line(record, of) + "\n")
        if sync:
            file.flush()
            os.fsync(file.fileno())


def fingerprint(value: object) -> str:
    """Twelve hexadecimal digits that identify a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def bytes_hash(content: bytes) -> str:
    """Twelve hexadecimal digits that identify a file's content, which was read already."""
    return hashlib.sha256(content).hexdigest()[:12]


def file_hash(path: Path) -> str:
    """Twelve hexadecimal digits that identify a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:12]
