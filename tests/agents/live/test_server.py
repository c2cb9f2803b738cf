"""The server: what it hands out, whom it lets in, and that no viewer harms it, another viewer, or the machine."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket as socketlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agents.live import ServeConfig, serve
from agents.live.packets import pack, unpack
from agents.live.server import FAILED, FULL, MOST_BYTES, PAGE, host_name, known_host
from agents.live.session import Session, Shared
from agents.live.viewer import MOMENTS, OTHERS, Outbox, Viewer
from rollouts.errors import UserError
from tests.agents.live.conftest import Running, receive, send, viewer_threads
from tests.faults.helpers import SCRIPTS


def get(server: Running, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(server.authority, timeout=60)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


def wait_until(condition, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def elsewhere(work: Callable[[], Any]) -> Any:
    """Do something in a thread of its own: in this one the browser of other tests may keep an event loop, and a thread
    can have no second."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(60)


def test_the_page_and_all_it_asks_for_are_served(server: Running):
    page = get(server, "/")
    text = page.read().decode()
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    for file in PAGE.iterdir():
        answer = get(server, f"/{file.name}")
        assert answer.status == 200
        assert answer.read() == file.read_bytes()


@pytest.mark.parametrize(
    "path", ["/nothing", "/../session.py", "/..%2fsession.py", "//etc/passwd", "/page/index.html", "/."]
)
def test_nothing_else_is_served(path: str, server: Running):
    assert get(server, path).status == 404


def test_a_step_that_cannot_be_done_is_told_and_does_not_end_the_view(shared: Shared, monkeypatch: pytest.MonkeyPatch):
    steps, advance = iter(range(1000)), Session.advance

    def failing_once(session: Session) -> bytes:
        if next(steps) == 1:
            raise UserError("The disk is full")
        return advance(session)

    monkeypatch.setattr(Session, "advance", failing_once)
    running = Running(shared)
    with running.open() as socket:
        assert receive(socket, "note")[0]["text"] == "The disk is full"
        assert receive(socket, "moment")
        assert receive(socket, "moment")
    running.stop()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_the_page_is_only_to_be_read(method: str, server: Running):
    answer = get(server, "/", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_head_is_answered_without_the_content(server: Running):
    with socketlib.create_connection(tuple(server.authority.split(":")), timeout=20) as line:  # type: ignore[arg-type]
        line.sendall(f"HEAD / HTTP/1.1\r\nHost: {server.authority}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert f"Content-Length: {(PAGE / 'index.html').stat().st_size}".encode() in head
    assert body == b""
    assert get(server, "/nothing", "HEAD").status == 404
    assert get(server, "/socket", "HEAD").status == 405


@pytest.mark.parametrize("host", ["[::1", "127.0.0.1:x", "127.0.0.1:99999999", "a/b", "a@127.0.0.1", "", "?", "]:1"])
def test_a_host_that_is_none_is_refused(host: str, server: Running):
    assert get(server, "/", Host=host).status == 400


def test_another_name_for_this_machine_is_refused(server: Running):
    assert get(server, "/", Host="evil.example").status == 403
    assert get(server, "/", Host=f"localhost:{server.authority.split(':')[1]}").status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "https://SELF", "null", None])
def test_other_pages_may_not_connect(origin: str | None, server: Running):
    with pytest.raises(InvalidStatus) as refused:
        server.open(origin=origin and origin.replace("SELF", server.authority))
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    ("header", "bound", "known"),
    [
        ("127.0.0.1:8400", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("[::1]:8400", "127.0.0.1", True),
        ("192.168.1.7:8400", "127.0.0.1", False),
        ("evil.example:8400", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("192.168.1.7:8400", "0.0.0.0", True),
        ("evil.example", "0.0.0.0", False),
        ("lab.example:8400", "lab.example", True),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
    ],
)
def test_only_names_of_this_server_are_known(header: str, bound: str, known: bool):
    assert known_host(host_name(header) or "", bound) is known


def test_moments_arrive_and_commands_are_obeyed(server: Running):
    with server.open() as socket:
        hello, _ = receive(socket, "hello")
        assert hello["world"] == "toy"
        assert receive(socket, "moment")[0]["scene"] == "real"
        send(socket, "scene", name="dream")
        assert wait_until(lambda: receive(socket, "moment")[0]["scene"] == "dream")
        send(socket, "keys", held=["left"])
        assert wait_until(lambda: receive(socket, "moment")[0]["by_hand"])
        send(socket, "keys", held=[])
        assert wait_until(lambda: not receive(socket, "moment")[0]["by_hand"])
        send(socket, "clip", format="gif", seconds=1)
        header, (content,) = receive(socket, "file")
        assert (header["name"][-4:], content[:6]) == (".gif", b"GIF89a")


def test_one_page_too_many_is_told_so(server: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.live.server.MOST_VIEWERS", 1)
    with server.open() as first:
        receive(first, "moment")
        with server.open() as second:
            assert "1 pages are open" in receive(second, "note")[0]["text"]
            with pytest.raises(ConnectionClosed):
                receive(second, "nothing")
            assert second.close_code == FULL
        receive(first, "moment")


def test_the_address_chooses_the_agent(server: Running):
    with server.open(path="/socket?agent=pretrained%2Fnobody") as socket:
        assert "no agent 'pretrained/nobody'" in receive(socket, "note")[0]["text"]
        with pytest.raises(ConnectionClosed):
            receive(socket, "nothing")
    with server.open(path="/socket?agent=toy") as socket:
        assert receive(socket, "hello")[0]["name"] == "toy"


def test_bad_messages_and_dropped_sockets_harm_nothing(server: Running):
    with server.open() as watching:
        receive(watching, "moment")
        with server.open() as bad:
            for message in ("", "{", "[]", "\x00", b"\xff" * 100, '{"do": "quit"}', '{"do": "latent", "z": [1]}'):
                bad.send(message)
            for _ in range(500):
                send(bad, "capture")
            receive(bad, "moment")
            bad.send("x" * (MOST_BYTES + 1))
            with pytest.raises(ConnectionClosed):
                receive(bad, "nothing")
        with server.open() as dropped:
            receive(dropped, "moment")
            dropped.socket.shutdown(SHUT_RDWR)
        assert receive(watching, "moment")[0]["scene"] == "real"
        assert wait_until(lambda: len(server.live.viewers) == 1)
    assert wait_until(lambda: not viewer_threads())


def test_viewers_do_not_disturb_each_other(server: Running):
    with server.open() as one, server.open() as two:
        send(one, "pause", on=True)
        send(two, "scene", name="dream")
        receive(one, "hello")
        assert wait_until(lambda: receive(two, "moment")[0]["step"] > 2)
        send(one, "step")
        send(one, "capture")
        receive(one, "gallery")
        before = receive(two, "moment")[0]["step"]
        assert wait_until(lambda: receive(two, "moment")[0]["step"] > before)


def test_a_viewer_that_does_not_read_costs_nobody_anything(server: Running):
    with server.open(max_queue=1) as sleeping, server.open() as watching:
        for _ in range(10):
            receive(watching, "moment")
        sleeping.socket.shutdown(SHUT_RDWR)
        assert wait_until(lambda: len(server.live.viewers) == 1)


def test_an_outbox_keeps_the_newest_moments_in_order_and_is_bounded():
    async def fill() -> list[bytes | None]:
        outbox = Outbox(asyncio.get_running_loop())
        for number in range(100):
            outbox.put(b"moment %d" % number, droppable=True)
            outbox.put(b"other %d" % number, droppable=False)
        return [await outbox.get() for _ in range(MOMENTS + OTHERS)]

    packets = elsewhere(lambda: asyncio.run(fill()))
    assert packets[-4:] == [b"moment 98", b"other 98", b"moment 99", b"other 99"]
    assert packets[:-4] == [b"other %d" % number for number in range(68, 98)]


def test_whoever_has_the_answer_of_a_long_task_may_ask_for_the_next():
    """Asks again in the very moment in which the first answer is handed over."""

    class Asking(Outbox):
        def put(self, packet: bytes, droppable: bool) -> None:
            kinds.append(unpack(packet)[0]["kind"])
            if kinds == ["file"]:
                viewer._start(lambda: pack("file", {}))

    def nothing() -> Session:
        raise UserError("no session is needed")

    async def begin() -> Viewer:
        return Viewer(nothing, Asking(asyncio.get_running_loop()))

    kinds: list[str] = []
    viewer = elsewhere(lambda: asyncio.run(begin()))
    viewer.thread.join(20)
    kinds.clear()
    viewer._start(lambda: pack("file", {}))
    assert wait_until(lambda: len(kinds) == 2)
    assert kinds == ["file", "file"]


def test_a_view_ends_after_its_long_task(server: Running, monkeypatch: pytest.MonkeyPatch):
    """A thread that computes while Python ends takes the process down, and its exit status with it."""
    begun, ends = threading.Event(), threading.Event()

    def film(*_: object) -> Callable[[], bytes]:
        return lambda: begun.set() or pack("file", {"in_time": ends.wait(60)})

    monkeypatch.setattr("agents.live.recorder.Clips.film", film)
    with server.open() as socket:
        receive(socket, "moment")
        send(socket, "clip", format="gif", seconds=1)
        assert begun.wait(20)
    (viewer,) = server.live.viewers.values()
    viewer.thread.join(0.3)
    assert viewer.thread.is_alive()
    ends.set()
    viewer.thread.join(20)
    assert not viewer.thread.is_alive()


def test_the_server_ends_with_the_last_page_if_asked(shared: Shared, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.live.server.RELOAD", 0.05)
    running = Running(shared, exit_when_closed=True)
    with running.open() as socket:
        receive(socket, "moment")
        assert running.thread.is_alive()
    running.thread.join(60)
    assert not running.thread.is_alive()
    assert wait_until(lambda: not viewer_threads())


def test_stopping_closes_the_pages_and_ends_their_threads(shared: Shared):
    running = Running(shared)
    with running.open() as socket:
        receive(socket, "moment")
        running.stop()
        with pytest.raises(ConnectionClosed):
            receive(socket, "nothing")
    assert wait_until(lambda: not viewer_threads())


def test_a_session_that_fails_says_so_and_leaves_the_others(
    server: Running, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def fail(*_: object) -> None:
        raise KeyError("a bug")

    with server.open() as watching:
        receive(watching, "moment")
        monkeypatch.setattr("agents.live.session.Session.capture", fail)
        with server.open() as failing:
            receive(failing, "hello")
            send(failing, "capture")
            assert "error" in receive(failing, "note")[0]["text"]
            with pytest.raises(ConnectionClosed):  # so that the page connects again
                receive(failing, "nothing")
            assert failing.close_code == FAILED
        receive(watching, "moment")
    assert "a bug" in capfd.readouterr().err


def test_a_task_that_fails_says_so_and_harms_nothing(server: Running, monkeypatch: pytest.MonkeyPatch):
    def film(*_: object) -> Callable[[], bytes]:
        return lambda: bytes(1 // 0)

    monkeypatch.setattr("agents.live.recorder.Clips.film", film)
    with server.open() as socket:
        receive(socket, "moment")
        send(socket, "clip", format="gif", seconds=1)
        assert "failed" in receive(socket, "note")[0]["text"]
        receive(socket, "moment")


def test_a_taken_port_and_a_foreign_host_are_refused(server: Running, shared: Shared):
    port = int(server.authority.split(":")[1])
    with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port} .* --port"):
        elsewhere(lambda: serve(shared, ServeConfig(port=port)))


def test_leaving_loopback_is_warned_of(shared: Shared, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UserError, match="cannot be served"):
        # An address for documentation, which no machine has.
        elsewhere(lambda: serve(shared, ServeConfig(host="192.0.2.1")))
    assert "Careful: on 192.0.2.1" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is no signal there")
def test_the_command_serves_until_ctrl_c(tiny_run: Path, tmp_path: Path):
    command = [sys.executable, str(SCRIPTS / "play.py"), "--run", str(tiny_run), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "http://127.0.0.1:" in line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in rest) == (0, False)


def test_without_an_agent_the_command_says_how_to_make_one(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "play.py"), "--run", "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "There is no agent at nowhere" in done.stderr
