"""Become another program, which the kernel kills when the process that asked for it is gone (Linux).

    python die_with_parent.py PARENT_PID PROGRAM [ARGUMENT ...]

A file of its own, importing next to nothing: it runs for every engine, before the engine.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # it died before it could be watched
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])
