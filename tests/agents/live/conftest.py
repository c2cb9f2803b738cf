"""A session of the tiny agent, a running server, and a page's side of the connection."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import torch
from websockets.sync.client import ClientConnection, connect

from agents import Agent
from agents.controller import ControllerSpec
from agents.live import ServeConfig, Session
from agents.live.commands import Command
from agents.live.library import Library
from agents.live.packets import unpack
from agents.live.recorder import Drives
from agents.live.server import LiveServer
from agents.live.session import Shared
from rollouts import EnvConfig
from worldmodels import WorldModel


@pytest.fixture(scope="session")
def toy_agent(make_model: Callable[..., WorldModel]) -> Agent:
    """An agent with random weights, as good as any to look at."""
    model, spec = make_model(), ControllerSpec("zh")
    controller = spec.build(model)
    parameters = 0.1 * torch.randn(controller.parameter_count, generator=torch.Generator().manual_seed(1))
    return Agent(Path("runs/toy"), model, spec, controller, parameters, EnvConfig("toy"))


@pytest.fixture
def shared(toy_agent: Agent, tmp_path: Path) -> Shared:
    return Shared.of(Library(toy_agent, tmp_path, Drives(tmp_path / "human", toy_agent.env)), tmp_path)


@pytest.fixture
def drives(shared: Shared) -> Drives:
    return shared.library.first.drives


@pytest.fixture
def session(shared: Shared) -> Iterator[Session]:
    session = Session(shared)
    yield session
    session.close()


Tell = Callable[..., list[tuple[dict[str, Any], list[bytes]]]]


@pytest.fixture
def tell(session: Session) -> Tell:
    """Gives the session a command, and unpacks its answers."""

    def tell(command: str, /, **arguments: Any) -> list[tuple[dict[str, Any], list[bytes]]]:
        return [unpack(packet) for packet in session.do(Command(command, arguments))]

    return tell


class Running:
    """A server in a thread, on a free port."""

    def __init__(self, shared: Shared, **config: Any) -> None:
        self.live = LiveServer(shared, ServeConfig(port=0, **config))
        self._urls: Queue[str] = Queue()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.thread.start()
        self.url = self._urls.get(timeout=30)
        self.authority = self.url.removeprefix("http://").rstrip("/")

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.live.run(self._urls.put)

    def open(self, path: str = "/socket", **options: Any) -> ClientConnection:
        """Connect as the page does."""
        options.setdefault("origin", f"http://{self.authority}")
        return connect(f"ws://{self.authority}{path}", compression=None, max_size=None, **options)

    def drop_all(self) -> None:
        """Break off every connection, as a network does."""

        def drop() -> None:
            for socket in list(self.live.viewers):
                socket.transport.abort()

        self._loop.call_soon_threadsafe(drop)

    def stop(self) -> None:
        if self.thread.is_alive():
            self._loop.call_soon_threadsafe(self.live.stop.set)
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def server(shared: Shared) -> Iterator[Running]:
    running = Running(shared)
    yield running
    running.stop()


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Any]:
    """A page of the server, in the real world; the browser must have had nothing to complain of."""
    from tests.agents.live.browsing import Page  # needs Playwright

    page = Page(browser, server.url)
    yield page
    page.close()


def receive(socket: ClientConnection, kind: str, timeout: float = 30) -> tuple[dict[str, Any], list[bytes]]:
    """The next packet of a kind; others are passed over."""
    while True:
        message = socket.recv(timeout=timeout)
        assert isinstance(message, bytes)
        header, blobs = unpack(message)
        if header["kind"] == kind:
            return header, blobs


def send(socket: ClientConnection, command: str, /, **arguments: Any) -> None:
    socket.send(json.dumps({"do": command, **arguments}))


def viewer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in ("viewer", "job")]
