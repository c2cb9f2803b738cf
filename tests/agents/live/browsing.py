"""A page of the live server in a real browser, as tests drive it."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import pytest

from agents.live.packets import unpack

playwright = pytest.importorskip("playwright.sync_api", reason="LEFT OUT, the page in a browser: playwright is missing")
expect = playwright.expect

PATIENCE = 30_000  #: milliseconds; a loaded machine of 2 cores starts a session in several seconds
expect.set_options(timeout=PATIENCE)

# Notes leave the page after some seconds, which may be before a slow test looks.
NOTES = """document.addEventListener("readystatechange", () => {
  const note = document.getElementById("note");
  window.notes = [];
  new MutationObserver(() => notes.push(note.textContent)).observe(note, { childList: true });
}, { once: true });"""

# While `held` is a list, messages of the server wait in it; `letGo(2)` hands over two, `letGo()` all from now on.
HELD = """window.WebSocket = class extends WebSocket {
  set onmessage(told) {
    super.onmessage = (event) => { if (window.held) held.push(() => told(event)); else told(event); };
  }
};
window.letGo = (count) => {
  const ready = held.splice(0, count ?? held.length);
  if (count === undefined) held = null;
  for (const one of ready) one();
};"""


class Page:
    """A page of the live server, with everything it was sent and every complaint of the browser."""

    def __init__(self, browser: Any, url: str, script: str = "", **options: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **options)
        self.context.add_init_script(NOTES + script)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.moments: deque[dict[str, Any]] = deque(maxlen=4000)
        self.answers: list[str] = []  #: the kinds of all other packets
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._received))
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(url)
        expect(self.page.locator("#sentence")).not_to_be_empty()

    def _received(self, message: bytes | str) -> None:
        assert isinstance(message, bytes)
        header, _ = unpack(message)
        if header["kind"] == "moment":
            self.moments.append(header)
        else:
            self.answers.append(header["kind"])

    def close(self) -> None:
        """Close it; the browser must have had nothing to complain of."""
        self.context.close()
        assert not self.complaints, self.complaints

    def go(self, scene: str) -> None:
        self.page.click(f"[data-go={scene}]")

    def js(self, expression: str, *arguments: Any) -> Any:
        return self.page.evaluate(expression, *arguments)

    def until(self, condition: Any, what: str) -> None:
        """Wait, with the browser's events coming in."""
        for _ in range(PATIENCE // 20):
            if condition():
                return
            self.page.wait_for_timeout(20)
        pytest.fail(f"the page never came to this: {what}; it noted {self.js('notes')}")

    def next_moments(self, count: int) -> list[dict[str, Any]]:
        """The ``count`` moments that arrive from now on."""
        self.moments.clear()
        self.until(lambda: len(self.moments) >= count, f"{count} moments")
        return list(self.moments)[:count]

    def shown(self) -> None:
        """Wait for the first moment on the page: from then on everything has its place."""
        expect(self.page.locator("#tiles canvas")).to_have_count(3)

    def settle(self) -> None:
        """Wait until the server has done all that it was asked for: commands are done, and answers sent, in order."""
        captured = self.page.locator("#start [data-captured]")
        count = captured.count()
        self.page.keyboard.press("c")
        expect(captured).to_have_count(count + 1)

    def noted(self, text: str) -> None:
        """Wait for a note, which may be gone again by now."""
        self.until(lambda: self.js("(text) => notes.some((note) => note.includes(text))", text), f"the note {text!r}")

    def address(self, end: str) -> None:
        """Wait for the end of the page's address."""
        expect(self.page).to_have_url(re.compile(re.escape(end) + "$"))

    def another_seed(self, seed: int) -> None:
        """Wait for an episode or a dream other than this one."""
        self.until(lambda: bool(self.moments) and self.moments[-1]["seed"] != seed, "another seed")

    def pixels(self, canvas: str) -> bytes:
        return self.page.locator(canvas).screenshot()

    def slide(self, slider: str, value: float) -> None:
        self.page.locator(slider).evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
        )
