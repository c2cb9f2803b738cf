"""Ends that can wait for a moment: Ctrl-C, and the SIGTERM of a machine that is about to be taken away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_signal: int | None = None  #: the signal that wants this process to end
_listening = False  #: whether signals come here: within :func:`stoppable_by_signals`
_waits = 0  #: blocks that want to come to an end of their own


def exit_status() -> int:
    """What the process ends with once it was stopped: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + (_signal or signal.SIGINT)


@contextmanager
def stoppable_by_signals() -> Iterator[None]:
    """Within it, SIGTERM ends the process as Ctrl-C does, with KeyboardInterrupt; see :func:`finishing`."""
    global _signal, _listening
    if threading.current_thread() is not threading.main_thread():  # only it may be interrupted
        yield
        return
    _signal, _listening = None, True
    before = {number: signal.signal(number, _on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        _listening = False
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def finishing() -> Iterator[None]:
    """Within it, a first signal is only noted: :func:`stop_requested` says so, and the block ends soon. A second one
    does not wait."""
    global _waits
    _waits += 1
    try:
        yield
    finally:
        _waits -= 1


def stop_requested() -> bool:
    """Whether the process shall end."""
    return _listening and _signal is not None


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _signal
    again, _signal = _signal is not None, number
    if _waits == 0 or again:
        raise KeyboardInterrupt
