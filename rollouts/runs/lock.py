"""One process at a time in a folder.

The system's own file locks are used: they end with their process, however that ends, and hold across containers of one
machine and on network disks that pass locks on. Where the disk knows no locks, the file itself says who is there; a
process of this machine that is gone is then no obstacle, one of another machine has to be removed by hand.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

from rollouts.errors import UserError
from rollouts.runs.place import alive, place

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond what the file says, which stays readable
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


NAME = ".lock"
PATIENCE_S = 0.5  #: another process may hold the folder for a moment only
_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class Lock:
    """Holds a folder until it is released, forgotten, or its process ends. A process may take a folder twice."""

    def __init__(self, folder: Path) -> None:
        self.path, self._process = folder / NAME, os.getpid()
        self._file: IO[str] | None = _opened(self.path)

    def release(self) -> None:
        """Let others in."""
        if self._file is not None and self._process == os.getpid():  # a forked process does not let go
            file, self._file = self._file, None
            if os.name != "nt":  # while it is held: what comes after makes a file of its own
                self.path.unlink(missing_ok=True)
            file.close()
            if os.name == "nt":
                with suppress(OSError):
                    self.path.unlink(missing_ok=True)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # it was not taken, or its folder is gone
            self.release()


_held: WeakValueDictionary[Path, Lock] = WeakValueDictionary()


def lock(folder: Path) -> Lock:
    """Take a folder, which exists.

    Raises:
        UserError: another process holds it; the message says which, and since when.
    """
    key = folder.resolve()
    held = _held.get(key)
    if held is None or not _is(held.path, held._file):
        held = _held[key] = Lock(folder)
    return held


def _opened(path: Path) -> IO[str]:
    ends = time.monotonic() + PATIENCE_S
    while True:
        file = path.open("a+", encoding="utf-8")  # it stays open as long as it is held
        try:
            _take(file.fileno())
        except OSError as error:
            if error.errno not in _HELD_BY_ANOTHER and _free(path):  # a disk without locks
                return _signed(file)
            file.close()
            if time.monotonic() > ends:
                raise UserError(_refusal(path, disk_locks=error.errno in _HELD_BY_ANOTHER)) from None
            time.sleep(0.05)
        else:
            if _is(path, file):
                return _signed(file)
            file.close()  # its holder removed it between our two steps


def _is(path: Path, file: IO[str] | None) -> bool:
    """Whether the open file is the one at this path; Windows does not let go of open files."""
    if file is None:
        return False
    try:
        return os.name == "nt" or os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _signed(file: IO[str]) -> IO[str]:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    file.truncate(0)
    json.dump({"host": platform.node(), "pid": os.getpid(), "since": now, "place": place()}, file)
    file.flush()
    return file


def _holder(path: Path) -> dict[str, object]:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _free(path: Path) -> bool:
    """Whether nobody has signed, or a process of this place that is gone."""
    holder = _holder(path)
    process = holder.get("pid")
    return not holder or (holder.get("place") == place() and isinstance(process, int) and not alive(process))


def _refusal(path: Path, disk_locks: bool) -> str:
    holder = _holder(path)
    who = f"{holder.get('host', 'unknown host')}, process {holder.get('pid', '?')}, since {holder.get('since', '?')}"
    advice = "Wait until it is done, or stop it; then the same command goes on."
    if not disk_locks:
        advice += f" This disk knows no locks: if that process is gone, delete {path}."
    return f"Another process works in {path.parent} ({who}). {advice}"
