"""How a command ends: a user's mistake is one sentence and exit status 2, Ctrl-C says how to go on."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rollouts.console import say
from rollouts.errors import UserError
from rollouts.stopping import exit_status, stoppable_by_signals

#: What a full, read-only or misnamed disk answers; anything else is a bug and keeps its traceback.
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EFBIG,
    errno.EIO,
    errno.ELOOP,
    errno.ESTALE,
    errno.EBUSY,
    errno.EMFILE,
    errno.ENFILE,
)


@contextmanager
def stoppable(run: Path | None) -> Iterator[None]:
    """Within it, Ctrl-C says how to go on with ``run``; None where there is nothing to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        how = f" Continue with --run {shlex.quote(str(run))} and the same other options." if run else ""
        raise KeyboardInterrupt(how) from None


def tell_errors(work: Callable[[], None]) -> None:
    """Do a command's work; a user's mistake or a full disk becomes one sentence and exit status 2."""
    try:
        with stoppable_by_signals():
            work()
    except BrokenPipeError:  # the reader of --help had seen enough
        os._exit(1)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        say(
            f"Error: {error.filename or 'The disk'}: {error.strerror}. Nothing was lost that was complete; mend this "
            "(free some space, fix permissions, or choose another path) and run the same command again."
        )
        sys.exit(2)
    except UserError as error:
        say(f"Error: {error}")
        sys.exit(2)
    except KeyboardInterrupt as stop:
        say(f"Stopped.{stop}")
        sys.exit(exit_status())
