"""The page at unlucky moments: before the server's hello, between two sessions, with answers still on their way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agents.live.recorder import Drives
from tests.agents.live.browsing import HELD, Page, expect
from tests.agents.live.conftest import Running

SLOW = HELD + "window.held = []; addEventListener('load', () => setTimeout(letGo, 1000));"
BLANK = """(canvas) => { const empty = document.createElement("canvas");
  Object.assign(empty, { width: canvas.width, height: canvas.height });
  return empty.toDataURL() === canvas.toDataURL(); }"""


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Page]:
    """One whose messages can be held back."""
    page = Page(browser, server.url, HELD)
    yield page
    page.close()


@pytest.mark.parametrize(
    "way", [*(pytest.param(way, marks=pytest.mark.slow) for way in ("a tab", "a key")), "the address"]
)
def test_a_scene_can_be_chosen_before_the_server_has_said_hello(browser: Any, server: Running, way: str):
    page = Page(browser, server.url + "#dream", SLOW)
    page.page.reload()  # here nobody waits for the hello
    if way == "a tab":
        page.page.click("[data-go=latents]")
    elif way == "a key":
        page.page.keyboard.press("Shift+Digit6")
    else:
        page.js("location.hash = '#latents'")
    expect(page.page.locator("#latent")).to_be_visible()
    expect(page.page.locator("#sentence")).to_contain_text("numbers, z")
    page.address("#latents")
    page.close()


EVERYTHING = """() => {
  const press = (code) => { for (const type of ["keydown", "keyup"])
    document.body.dispatchEvent(new KeyboardEvent(type, { code, key: code.at(-1).toLowerCase(), bubbles: true })); };
  for (const tab of document.querySelectorAll("[data-go]")) {
    tab.click();
    for (const code of ["KeyF", "KeyN", "KeyR", "KeyC", "KeyD", "KeyK", "KeyG", "KeyA"]) press(code);
  }
  for (const one of document.querySelectorAll("button:not(#help, [data-go])")) one.click();
  for (const one of document.querySelectorAll("input, select"))
    for (const type of ["input", "change"]) one.dispatchEvent(new Event(type));
  document.querySelector("[data-go=real]").click();
  if (document.body.classList.contains("paused")) press("Space");
}"""


def test_everything_may_be_pressed_before_the_hello(browser: Any, server: Running):
    page = Page(browser, server.url + "#dream", HELD)
    page.context.add_init_script("window.held = [];")
    page.page.reload()
    page.js(EVERYTHING)
    page.js("letGo()")
    page.until(lambda: page.page.locator("#sentence").text_content() != "", "a hello")
    page.next_moments(2)
    page.shown()
    page.close()


@pytest.mark.parametrize(
    "address",
    [
        "#100%",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("#%E4&tau=1.5%", "#constructor", "#&speed=&tau=x&agent=")
        ),
    ],
)
def test_an_address_that_makes_no_sense_is_the_real_world(browser: Any, server: Running, address: str):
    page = Page(browser, server.url + address)
    expect(page.page.locator("[data-go=real]")).to_have_attribute("aria-current", "page")
    page.go("dream")
    page.js("(address) => { location.hash = address; }", address)
    expect(page.page.locator("[data-go=real]")).to_have_attribute("aria-current", "page")
    page.close()


def test_a_picture_that_was_on_its_way_is_not_shown_in_the_next_scene(page: Page):
    page.shown()
    page.js("window.held = []")
    page.until(lambda: page.js("held.length") >= 2, "two moments on their way")
    page.go("dream")
    page.js("letGo(2)")
    page.page.wait_for_timeout(200)
    assert page.page.locator("#main").evaluate(BLANK)
    page.js("letGo()")
    page.until(lambda: not page.page.locator("#main").evaluate(BLANK), "the dream's picture")


def test_a_fan_that_was_asked_for_twice_is_shown_once(page: Page, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.live.fan.AHEAD", 0.3)
    monkeypatch.setattr("agents.live.fan.STOPS", 3)
    page.shown()
    page.js("window.held = []")
    for count in (1, 2):
        page.page.keyboard.press("f")
        page.until(lambda count=count: page.answers.count("fan") == count, f"fan {count}")
    page.js("letGo()")
    expect(page.page.locator("#fan-text")).to_contain_text("16 dreams")
    page.settle()
    page.page.click("#fan-close")
    page.page.wait_for_timeout(300)  # as long as a stop of the fan lasts, and longer


def test_a_z_that_has_not_come_yet_is_not_changed(page: Page):
    page.shown()
    page.js("window.held = []")
    page.go("latents")
    page.page.focus("#bars")
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft"):
        page.page.keyboard.press(key)
    page.page.click("#bars")
    page.page.click("#latent-noise")
    page.js("letGo()")
    expect(page.page.locator("#walk figure")).to_have_count(4)
    page.page.focus("#bars")
    page.page.keyboard.press("ArrowRight")
    assert page.page.get_attribute("#bars", "aria-valuetext").startswith("z1: ")


def test_two_agents_in_one_moment_are_no_complaint(page: Page, server: Running):
    page.js(
        "for (const hash of ['#real&agent=toy', '#real', '#dream&agent=toy']) {"
        "history.replaceState(null, '', hash); dispatchEvent(new Event('hashchange')); }"
    )
    page.until(lambda: bool(page.moments) and page.moments[-1]["scene"] == "dream", "the dream of the last of them")
    page.until(lambda: len(server.live.viewers) == 1, "one session")
    assert page.page.locator("body.lost").count() == 0


def test_an_episode_is_deleted_once(page: Page, drives: Drives, toy_episodes: list[Any]):
    for episode in toy_episodes[:2]:
        drives.save(episode)
    page.page.on("dialog", lambda dialog: dialog.accept())
    page.go("episodes")
    expect(page.page.locator("#episode-rows [aria-current]")).to_have_count(1)
    page.js("() => { const button = document.getElementById('episode-delete'); button.click(); button.click(); }")
    page.until(lambda: len(drives.store) == 1, "one of them deleted")
    expect(page.page.locator("#episode-rows tr")).to_have_count(1)
