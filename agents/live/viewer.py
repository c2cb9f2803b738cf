"""One viewer: its session in a thread, and bounded queues between that thread and the server's event loop."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from queue import Empty, Full, Queue

from agents.live.commands import Command
from agents.live.pace import PAUSE_AT_END
from agents.live.packets import pack
from agents.live.session import Job, Session
from rollouts.errors import UserError
from worldmodels.training.threads import one_thread

INBOX = 64  #: commands that may wait; a page that sends more loses the newest
MOMENTS, OTHERS = 2, 32  #: packets that may wait to be sent; of moments, the newest are kept
LATE = 0.1  #: seconds that a show may be behind and still catch up


class Outbox:
    """Packets on their way to the page, filled by threads and emptied by the event loop. Never waits for the page.

    They keep their order: a moment that was late would be drawn over a newer one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._ready, self._lock = loop, asyncio.Event(), threading.Lock()
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._ended = False

    def put(self, packet: bytes, droppable: bool) -> None:
        """From any thread; a closed loop is nobody to tell. Of too many, the oldest is dropped."""
        with self._lock:
            self._waiting.append((packet, droppable))
            alike = [index for index, (_, one) in enumerate(self._waiting) if one is droppable]
            if len(alike) > (MOMENTS if droppable else OTHERS):
                del self._waiting[alike[0]]
        self._wake()

    def end(self) -> None:
        """Nothing more will come, from any thread."""
        self._ended = True
        self._wake()

    async def get(self) -> bytes | None:
        """The next packet; None after the last."""
        while not (self._waiting or self._ended):
            self._ready.clear()
            await self._ready.wait()
        with self._lock:
            return self._waiting.popleft()[0] if self._waiting else None

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:
            return


class Viewer:
    """Runs a session at its own pace until it is closed, or until an error ends it; then its outbox ends too.

    Args:
        begin: makes the session, in its thread.
    """

    def __init__(self, begin: Callable[[], Session], outbox: Outbox) -> None:
        self._begin, self.outbox = begin, outbox
        self._inbox: Queue[Command] = Queue(INBOX)
        self._closing = threading.Event()
        self._free = threading.Lock()  # held by the long task that is at work
        self.thread = threading.Thread(target=self._run, name="viewer", daemon=True)
        self.thread.start()

    def tell(self, command: Command) -> None:
        """Hand over a command; when too many wait, this one is lost."""
        try:
            self._inbox.put_nowait(command)
        except Full:
            return

    def close(self) -> None:
        """Ask the thread to end; it does after the step it is in."""
        self._closing.set()

    def _run(self) -> None:
        try:
            with one_thread():
                session = self._begin()
                try:
                    self.outbox.put(session.hello(), droppable=False)
                    self._play(session)
                finally:
                    session.close()
        except UserError as error:
            self._say(str(error), refused=True)
        except Exception:
            traceback.print_exc()
            self._say("This view had to begin anew because of an error, which the terminal shows.")
        finally:
            self.outbox.end()
            with self._free:  # a thread that still computes when Python ends would take the whole process down
                pass

    def _play(self, session: Session) -> None:
        due = time.monotonic()
        while not self._closing.is_set():
            now = time.monotonic()
            left = 0.25 if session.idle else due - now
            try:
                command = self._inbox.get(timeout=min(left, 0.25)) if left > 0 else self._inbox.get_nowait()
            except Empty:
                if session.idle or time.monotonic() < due:
                    continue
                try:
                    self.outbox.put(session.advance(), droppable=True)
                except UserError as error:
                    self._say(str(error))
                    due = time.monotonic() + PAUSE_AT_END
                due = max(due + session.wait, time.monotonic() - LATE)
                continue
            try:
                for packet in session.do(command):
                    self.outbox.put(packet, droppable=False)
            except UserError as error:
                self._say(str(error))
            while session.jobs:
                self._start(session.jobs.pop())

    def _start(self, job: Job) -> None:
        """Long work in a thread of its own, one at a time."""
        if not self._free.acquire(blocking=False):
            self._say("The last long task is still at work; ask again when it is done.")
            return

        def work() -> None:
            answer = self._answer(job)
            self._free.release()  # first, for whoever has the answer may ask again at once
            self.outbox.put(answer, droppable=False)

        threading.Thread(target=work, name="job", daemon=True).start()

    def _answer(self, job: Job) -> bytes:
        try:
            with one_thread():
                return job()
        except UserError as error:
            return note(str(error))
        except Exception:
            traceback.print_exc()
            return note("That failed because of an error, which the terminal shows.")

    def _say(self, sentence: str, refused: bool = False) -> None:
        self.outbox.put(note(sentence, refused), droppable=False)


def note(sentence: str, refused: bool = False) -> bytes:
    """A sentence for the page, and whether it is why there is no session."""
    return pack("note", {"text": sentence, "refused": refused})
