"""The live page's server under messages that no page sends and connections that no browser makes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import socket as sockets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

from torture_runs import forked
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from agents import Agent
from agents.live import ServeConfig
from agents.live.commands import COMMANDS
from agents.live.library import Library
from agents.live.packets import unpack
from agents.live.recorder import Drives
from agents.live.server import MOST_BYTES, LiveServer
from agents.live.session import Shared
from rollouts.runs.files import read_json, write_json

Row = dict[str, Any]
MOST_GROWTH = 400e6  #: bytes by which the process may have grown: up to sixteen viewers at once, each with a session
PATIENCE_S = 120.0  #: until a page that is opened shows something
PER_VIEWER = 1000  #: messages that one connection sends


class Running:
    """A server in a thread, on a free port."""

    def __init__(self, shared: Shared) -> None:
        self.live = LiveServer(shared, ServeConfig(port=0))
        urls: Queue[str] = Queue()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run(urls)), daemon=True)
        self.thread.start()
        self.authority = urls.get(timeout=60).removeprefix("http://").rstrip("/")
        host, _, port = self.authority.rpartition(":")
        self.address = host, int(port)

    async def _run(self, urls: Queue[str]) -> None:
        self._loop = asyncio.get_running_loop()
        await self.live.run(urls.put)

    def open(self, origin: str | None = None) -> ClientConnection:
        """Connect as the page does."""
        own = Origin(f"http://{self.authority}" if origin is None else origin)
        return connect(f"ws://{self.authority}/socket", compression=None, max_size=None, origin=own)

    def works(self) -> bool:
        """Whether a page that is opened now sees the agent move, once viewers that have left are gone."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            with contextlib.suppress(WebSocketException, OSError, TimeoutError), self.open() as page:
                while True:
                    message = page.recv(timeout=PATIENCE_S / 2)
                    if isinstance(message, bytes) and unpack(message)[0]["kind"] == "moment":
                        return True
            time.sleep(0.5)
        return False

    def stop(self) -> bool:
        """End it; whether it ended."""
        self._loop.call_soon_threadsafe(self.live.stop.set)
        self.thread.join(60)
        return not self.thread.is_alive()


@dataclass
class Begun:
    """The server of one torture, made by its first test."""

    finished: Path
    running: Running | None = None
    memory: float = 0.0

    def server(self) -> Running:
        if self.running is None:
            agent = Agent.load(self.finished)
            folder = self.finished.parent / "page"
            library = Library(agent, folder, Drives(folder / "human", agent.env))
            self.running = Running(Shared.of(library, folder))
            assert self.running.works()
            self.memory = memory()
        return self.running


def memory() -> float:
    """Resident bytes of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))


def attempts(finished: Path, run: Path, messages: int, connections: int, seed: int) -> Iterator[Callable[[], Row]]:
    """All of them on one server, in a process of its own, which still has to work in the end."""
    tests: dict[str, Callable[[Running], tuple[bool, str]]] = {
        f"{messages:,} malformed messages": lambda server: _messages(server, messages, seed),
        f"{connections} half-open connections": lambda server: _half_open(server, connections, seed),
        "hosts and origins of others": _strangers,
        "the end": lambda server: (server.stop(), "It ended when it was asked to."),
    }
    file = run.with_suffix(".json")
    file.unlink(missing_ok=True)

    def all_of_it() -> int:
        begun = Begun(finished)
        write_json(file, {what: _checked(begun, what, work) for what, work in tests.items()})
        return 0

    def one(what: str) -> Row:
        if not file.exists():
            ended = forked(all_of_it, run.with_suffix(".log"))
            if ended.status:
                return {"what": what, "outcome": "crashed", "told": ended.output[-300:]}
        return dict(read_json(file)[what])

    for what in tests:
        yield partial(one, what)


def _checked(begun: Begun, what: str, work: Callable[[Running], tuple[bool, str]]) -> Row:
    """Do it, then see whether the page works and how much memory is taken."""
    server = begun.server()
    right, text = work(server)
    if server.thread.is_alive():
        right = right and server.works()
    grown = memory() - begun.memory
    outcome = "crashed" if not right else "grown" if grown > MOST_GROWTH else "no harm"
    return {"what": what, "outcome": outcome, "told": f"{text} The process has grown by {max(grown, 0) / 1e6:.0f} MB."}


def malformed(rng: random.Random) -> str | bytes:
    """A message that is no command of a page's, or nearly one."""
    name = rng.choice([*COMMANDS])
    whole: dict[str, Any] = {"do": name, **{key: rng.choice(VALUES) for key in COMMANDS[name]}}
    text = json.dumps(whole)
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(300))
    if kind == 1:
        return text[: rng.randrange(len(text))]
    if kind == 2:
        return text.replace('"do"', '"undo"')
    if kind == 3:
        return "[" * rng.randrange(1, 20_000)
    if kind == 4:
        return json.dumps({**whole, "more": [0] * rng.randrange(5000)})
    if kind == 5:
        return json.dumps(rng.choice(VALUES))
    if kind == 6:
        return "x" * rng.randrange(MOST_BYTES)
    return text


VALUES: tuple[Any, ...] = (
    *(None, True, -1, 10**30, 1e400, float("nan"), "", "x" * 500, [], {}, [[]], [1e9] * 5000, {"a": {"b": []}}),
    *("../../etc/passwd", "real", [None], -0.0, "1", [True], ["w"] * 1000, "\x00", "\ud800"),
)


def _messages(server: Running, count: int, seed: int) -> tuple[bool, str]:
    rng, sent, closed = random.Random(seed), 0, 0
    while sent < count:
        with contextlib.suppress(WebSocketException, OSError), server.open() as page:
            reader = threading.Thread(target=_drain, args=(page,), daemon=True)
            reader.start()
            for _ in range(min(PER_VIEWER, count - sent)):
                sent += 1
                message = malformed(rng)
                if isinstance(message, str) and rng.random() < 0.2:
                    message = message.encode("utf-8", "replace")
                page.send(message)
            continue
        closed += 1
    return True, f"{sent:,} were sent; {closed} connections were closed for them."


def _drain(page: ClientConnection) -> None:
    with contextlib.suppress(WebSocketException, OSError):
        for _ in page:
            pass


def _half_open(server: Running, count: int, seed: int) -> tuple[bool, str]:
    """Connections that begin a request, a handshake or a frame, and say no more; then some that hang up."""
    rng, opened, refused = random.Random(seed), list[sockets.socket](), 0
    request = (
        f"GET /socket HTTP/1.1\r\nHost: {server.authority}\r\nOrigin: http://{server.authority}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    for _ in range(count):
        try:
            one = sockets.create_connection(server.address, timeout=20)
            kind = rng.randrange(4)
            if kind == 1:
                one.sendall(request[: rng.randrange(len(request))])
            elif kind == 2:
                one.sendall(rng.randbytes(rng.randrange(200)))
            elif kind == 3:
                one.sendall(request + b"\x81\xfe\xff\xff")  # a frame that promises 64 kB
            opened.append(one)
        except OSError:
            refused += 1
    time.sleep(0.5)
    alive = server.thread.is_alive()
    for one in opened:
        one.close()
    ends = time.monotonic() + 60
    while server.live.viewers and time.monotonic() < ends:
        time.sleep(0.1)
    return alive and not server.live.viewers, f"{len(opened)} were opened, {refused} were not accepted."


def _strangers(server: Running) -> tuple[bool, str]:
    """A page of another origin, no origin, or another host does not get in."""
    let_in = list[str]()
    host, port = server.address
    for origin in ("http://evil.example", f"https://{server.authority}", "null", f"http://{host}:{port + 1}", ""):
        try:
            server.open(origin).close()
            let_in.append(f"origin {origin}")
        except (InvalidHandshake, OSError):
            continue
    others = ("evil.example", f"evil.example:{port}", "", "127.0.0.1@evil.example", "[::1", "a b", "127.0.0.1.evil.org")
    for name in others:
        with sockets.create_connection(server.address, timeout=20) as one:
            one.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            if b" 200 " in one.recv(100):
                let_in.append(f"host {name}")
    return not let_in, f"Let in: {', '.join(let_in) or 'nobody'}."
