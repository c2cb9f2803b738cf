"""The server of the live page: static files over HTTP and one WebSocket for each viewer, on one port."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from agents.live.commands import parse
from agents.live.packets import pack
from agents.live.session import Session, Shared
from agents.live.viewer import Outbox, Viewer
from rollouts.console import say
from rollouts.errors import UserError

PAGE = Path(__file__).parent / "page"
_quiet = logging.getLogger("agents.live")
_quiet.setLevel(logging.CRITICAL)  # a port scan or a browser that hangs up is nothing to read about

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MOST_VIEWERS = 16
MOST_BYTES = 64 * 1024  #: of a message from a page
PATIENCE = 20.0  #: seconds after which a viewer that does not answer is taken for gone
RELOAD = 2.0  #: seconds in which a page that was closed may be back: it was only reloaded
FAILED, FULL = 1011, 1013  #: WebSocket close codes: an error here, and try again later
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServeConfig:
    """Where the page is served."""

    host: str = "127.0.0.1"
    """The address to listen on. Other than loopback, anybody who can reach it may watch and steer."""
    port: int = 8400
    """The port; 0 takes any that is free."""
    exit_when_closed: bool = False
    """End when the last page is closed."""


def serve(shared: Shared, config: ServeConfig, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve the page until Ctrl-C, or until the last page closes if the config says so.

    Args:
        ready: called with the page's address once it can be opened.

    Raises:
        UserError: the port is taken, or the host is none of this machine's.
    """
    if config.host not in LOOPBACK:
        say(
            f"Careful: on {config.host}, everybody who can reach this machine's port {config.port} can watch and "
            "steer this agent, and fill the disk with recordings. There is no password and no encryption."
        )
    asyncio.run(LiveServer(shared, config).run(ready))


class LiveServer:
    """All viewers of one agent.

    Attributes:
        stop: set it, in the event loop, to end the server.
    """

    def __init__(self, shared: Shared, config: ServeConfig) -> None:
        self.shared, self.config, self.stop = shared, config, asyncio.Event()
        self.viewers: dict[ServerConnection, Viewer] = {}

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve until :attr:`stop` is set, by Ctrl-C for one, and until all viewers' threads have ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self.stop.set)
            except (NotImplementedError, RuntimeError, ValueError):  # on Windows, or not in the main thread
                continue
        async with await self._listen() as server:
            ready(self._url(server))
            await self.stop.wait()

    async def _listen(self) -> Server:
        try:
            return await listen(
                self.watch,
                self.config.host,
                self.config.port,
                process_request=self.answer,
                max_size=MOST_BYTES,
                max_queue=16,
                compression=None,  # pictures are compressed already
                ping_interval=PATIENCE / 2,
                ping_timeout=PATIENCE / 2,
                close_timeout=1.0,
                server_header=None,
                logger=_quiet,
            )
        except OSError as error:
            raise UserError(
                f"The page cannot be served on {self.config.host}:{self.config.port} ({error.strerror or error}). "
                "Choose another --port, or 0 for any that is free."
            ) from error

    def _url(self, server: Server) -> str:
        host = self.config.host
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        return f"http://{shown}:{next(iter(server.sockets)).getsockname()[1]}/"

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """A static file, a refusal, or None to go on to a WebSocket."""
        method = getattr(request, "method", "GET")  # websockets before 17 refuses all others itself
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"This page is only to be read.", Allow="GET, HEAD")
        answer = self._answer(request, method)
        if answer is not None and method == "HEAD":
            answer.body = b""
        return answer

    def _answer(self, request: Request, method: str) -> Response | None:
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        if len(hosts) != 1 or (host := host_name(hosts[0])) is None:
            return _response(HTTPStatus.BAD_REQUEST, b"A request names one host.")
        if not known_host(host, self.config.host):
            return _response(HTTPStatus.FORBIDDEN, b"This page has another address.")
        path = request.path.partition("?")[0]
        if path == "/socket":
            if method != "GET":
                return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"", Allow="GET")
            if origins != [f"http://{hosts[0]}"]:
                return _response(HTTPStatus.FORBIDDEN, b"Only the page itself may connect.")
            return None
        name = "index.html" if path == "/" else path[1:]
        file = PAGE / name
        if name not in {entry.name for entry in PAGE.iterdir()}:
            return _response(HTTPStatus.NOT_FOUND, b"There is no such file.")
        return _response(HTTPStatus.OK, file.read_bytes(), KINDS[file.suffix])

    async def watch(self, socket: ServerConnection) -> None:
        """One viewer, from its first to its last message."""
        if len(self.viewers) >= MOST_VIEWERS:  # said in a message: a page cannot read why a handshake is refused
            await socket.send(pack("note", {"text": f"{MOST_VIEWERS} pages are open already; close one of them."}))
            await socket.close(FULL, "too many viewers")
            return
        agent = parse_qs(urlsplit(socket.request.path if socket.request else "").query).get("agent", [""])[0]
        outbox = Outbox(asyncio.get_running_loop())
        viewer = Viewer(lambda: Session(self.shared, agent), outbox)
        self.viewers[socket] = viewer
        sending = asyncio.create_task(_send(socket, outbox))
        try:
            async for message in socket:
                if (command := parse(message)) is not None:
                    viewer.tell(command)
        except ConnectionClosed:
            pass
        finally:
            sending.cancel()
            viewer.close()
            await asyncio.to_thread(viewer.thread.join, 10.0)
            del self.viewers[socket]
            asyncio.get_running_loop().call_later(RELOAD, self._end_if_left)

    def _end_if_left(self) -> None:
        if self.config.exit_when_closed and not self.viewers:
            self.stop.set()


async def _send(socket: ServerConnection, outbox: Outbox) -> None:
    try:
        while (packet := await outbox.get()) is not None:
            await socket.send(packet)
        await socket.close(FAILED, "the view has ended")  # so that the page connects again, to a new one
    except ConnectionClosed:
        return


def host_name(header: str) -> str | None:
    """The name in a Host header, lower case and without its port; None if it is no host at all."""
    if any(character in header for character in "/?#@ \t"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        return parts.hostname if parts.port is None or parts.port >= 0 else None
    except ValueError:
        return None


def known_host(host: str, bound: str) -> bool:
    """Whether a host is a name of this server.

    A page elsewhere that lets its own name point to this machine (DNS rebinding) would be the same origin to a
    browser; its name gives it away. On loopback only loopback's names are known; otherwise addresses, this machine's
    name and the one it was told to listen on.
    """
    if host in LOOPBACK:
        return True
    if bound in LOOPBACK:
        return False
    own = socket.gethostname().lower()
    if host in (bound.lower(), own, f"{own}.local"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _response(status: HTTPStatus, body: bytes, kind: str = "text/plain", **more: str) -> Response:
    headers = Headers(
        {
            **more,
            "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-cache",
            "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
