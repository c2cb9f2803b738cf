"""Which machine or container this process is in, and which of its processes live.

Two processes understand each other's numbers only within one place: one system since it was started, and, where there
are containers, one of them.
"""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def place() -> str:
    """Eight hexadecimal digits that identify where numbers of processes mean what they mean here."""
    facts = [platform.node()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(),
        lambda: str(Path("/proc/self/ns/pid").readlink()),
    ):
        try:
            facts.append(read())
        except OSError:  # no Linux
            continue
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def alive(process: int) -> bool:
    """Whether a process of this place lives; where that cannot be asked, it does."""
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except OverflowError:  # no number of a process
        return False
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True
