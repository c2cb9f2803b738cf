"""The page in a real browser: headless Chromium, driven by Playwright, on a running server.

Left out, with a reason, where there is no Chromium (``CHROMIUM`` names one that is not on the PATH).
``LIVE_MINUTE=1`` adds the minute in real time.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.live.library import Library
from agents.live.packets import unpack
from agents.live.recorder import Drives
from agents.live.session import Shared
from tests.agents.live.conftest import Running, viewer_threads
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.registry import preset

playwright = pytest.importorskip("playwright.sync_api", reason="LEFT OUT, the page in a browser: playwright is missing")
expect = playwright.expect

CHROMIUM = os.environ.get("CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="LEFT OUT, the page in a browser: there is no Chromium (apt-get install chromium)"
)
PATIENCE = 30_000  #: milliseconds; a loaded machine of 2 cores starts a session in several seconds


class Page:
    """A page of the live server, with everything it was sent and every complaint of the browser."""

    def __init__(self, browser: Any, url: str, script: str = "", **options: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **options)
        self.context.add_init_script(script)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.moments: deque[dict[str, Any]] = deque(maxlen=4000)
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._received))
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(url)
        expect(self.page.locator("#sentence")).not_to_be_empty(timeout=PATIENCE)

    def _received(self, message: bytes | str) -> None:
        assert isinstance(message, bytes)
        header, _ = unpack(message)
        if header["kind"] == "moment":
            self.moments.append(header)

    def go(self, scene: str) -> None:
        self.page.click(f"[data-go={scene}]")

    def until(self, condition: Any, what: str) -> None:
        """Wait, with the browser's events coming in."""
        for _ in range(PATIENCE // 20):
            if condition():
                return
            self.page.wait_for_timeout(20)
        pytest.fail(f"the page never came to this: {what}")

    def next_moments(self, count: int) -> list[dict[str, Any]]:
        """The ``count`` moments that arrive from now on."""
        self.moments.clear()
        self.until(lambda: len(self.moments) >= count, f"{count} moments")
        return list(self.moments)[:count]

    def pixels(self, canvas: str) -> bytes:
        return self.page.locator(canvas).screenshot()

    def slide(self, slider: str, value: float) -> None:
        self.page.locator(slider).evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
        )


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Page]:
    page = Page(browser, server.url)
    yield page
    page.context.close()
    assert page.complaints == []


def test_pictures_arrive_and_change_in_every_scene(page: Page):
    for scene in ("real", "dream", "wake"):
        page.go(scene)
        page.until(lambda s=scene: page.moments and page.moments[-1]["scene"] == s, scene)
        before = page.pixels("#main")
        page.until(lambda b=before: page.pixels("#main") != b, f"another picture in {scene}")
        expect(page.page.locator("#tiles canvas")).to_have_count(3)
    assert page.page.locator("#twin").is_visible()
    expect(page.page.locator("#meter")).to_contain_text("fps")


def test_keys_take_over_and_release(page: Page):
    badge = page.page.locator("#driver")
    for scene in ("real", "dream"):
        page.go(scene)
        expect(badge).to_have_text("agent", timeout=PATIENCE)
        page.page.keyboard.down("ArrowRight")
        expect(badge).to_have_text("you", timeout=PATIENCE)
        page.until(lambda: page.moments[-1]["action"] == [1.0], "the wheel fully turned")
        assert "down" in page.page.locator("[data-key=right]").get_attribute("class")
        page.page.keyboard.up("ArrowRight")
        expect(badge).to_have_text("agent", timeout=PATIENCE)
    page.page.keyboard.press("t")
    expect(badge).to_have_text("you", timeout=PATIENCE)


def test_touch_drives_too(browser: Any, server: Running):
    page = Page(browser, server.url, viewport={"width": 390, "height": 844}, has_touch=True)
    box = page.page.locator("[data-key=left]").bounding_box()
    page.page.mouse.move(box["x"] + 9, box["y"] + 9)
    page.page.mouse.down()
    page.until(lambda: page.moments and page.moments[-1]["action"] == [-1.0], "a turn to the left")
    page.page.mouse.up()
    page.until(lambda: not page.moments[-1]["by_hand"], "the agent at the wheel again")
    wide = page.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    page.context.close()


def test_the_temperature_changes_the_spread_of_the_dream(page: Page):
    page.go("dream")

    def spread(temperature: float) -> float:
        page.slide("#temperature", temperature)
        page.page.click("#restart")
        page.moments.clear()
        page.until(lambda: any(moment["step"] == 0 for moment in page.moments), "a new dream")
        return float(np.diff([moment["z"] for moment in page.next_moments(12)], axis=0).std())

    assert spread(0.0) < spread(3.0) / 2


def test_pause_step_and_speed(page: Page):
    page.next_moments(1)
    page.page.keyboard.press("Space")
    expect(page.page.locator("#meter")).to_have_text("paused")
    page.page.wait_for_timeout(200)
    page.moments.clear()
    page.page.keyboard.press("n")
    page.page.keyboard.press("n")
    page.until(lambda: len(page.moments) == 2, "two single steps")
    page.page.wait_for_timeout(200)
    assert len(page.moments) == 2
    page.page.keyboard.press("Space")
    page.slide("#speed", -3)
    page.until(lambda: bool(page.moments) and page.moments[-1]["seconds"] == pytest.approx(0.4), "the slower pace")


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_the_last_seconds_are_downloaded(kind: str, page: Page, tmp_path: Path):
    page.next_moments(12)
    page.page.select_option("#clip-seconds", "4")
    with page.page.expect_download() as download:
        page.page.click(f"#clip-{kind}")
    content = Path(download.value.path()).read_bytes()
    assert download.value.suggested_filename.endswith(f"real.{kind}")
    with av.open(io.BytesIO(content)) as video:
        assert sum(1 for _ in video.decode(video=0)) >= 4


def test_driving_is_recorded(page: Page, drives: Drives):
    page.page.click("#record")
    page.page.keyboard.down("d")
    page.until(lambda: len(drives.store) == 1, "an episode on disk")
    page.page.keyboard.up("d")
    expect(page.page.locator("#note")).to_contain_text("human")
    expect(page.page.locator("#record")).to_contain_text("1 saved")


def test_latents_are_dragged_walked_and_mixed(page: Page):
    page.next_moments(1)
    page.page.keyboard.press("c")
    page.next_moments(8)
    page.page.keyboard.press("c")
    page.go("latents")
    expect(page.page.locator("#gallery figure")).to_have_count(2)
    expect(page.page.locator("#walk figure")).to_have_count(4, timeout=PATIENCE)
    before = page.pixels("#latent")
    box = page.page.locator("#bars").bounding_box()
    page.page.mouse.move(box["x"] + box["width"] / 8, box["y"] + box["height"] / 2)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + box["width"] / 8, box["y"] + 12, steps=4)
    page.page.mouse.up()
    page.until(lambda: page.pixels("#latent") != before, "another picture of z")
    dragged = page.pixels("#latent")
    page.slide("#share", 0.5)
    page.until(lambda: page.pixels("#latent") != dragged, "a picture between A and B")


def test_a_broken_message_harms_nothing_and_a_lost_page_comes_back(page: Page, server: Running):
    page.next_moments(2)
    page.page.evaluate(
        "() => { const s = new WebSocket(`ws://${location.host}/socket`);"
        "s.onopen = () => { s.send('nonsense'); s.send(new Uint8Array(9)); s.send('{\"do\":'); s.close(); }; }"
    )
    page.next_moments(5)
    server.drop_all()
    page.until(lambda: page.page.locator("body.lost").count() == 1, "no connection")
    assert page.page.locator(".veil").is_visible()
    page.until(lambda: page.page.locator("body.lost").count() == 0, "connected again")
    page.next_moments(3)
    assert not page.page.locator(".veil").is_visible()


def test_a_new_session_forgets_what_the_last_one_had_captured(page: Page, server: Running):
    page.next_moments(1)
    page.page.keyboard.press("c")
    expect(page.page.locator("#start [data-captured]")).to_have_count(1)
    server.drop_all()
    expect(page.page.locator("#start [data-captured]")).to_have_count(0, timeout=PATIENCE)


def test_an_error_ends_in_a_new_view_with_its_message(page: Page, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.live.latents.LatentBench.capture", lambda *_: 1 // 0)
    page.next_moments(1)
    page.page.keyboard.press("c")
    expect(page.page.locator("#note")).to_contain_text("begin anew because of an error", timeout=PATIENCE)
    page.until(lambda: page.page.locator("body.lost").count() == 0, "connected again")
    page.next_moments(3)


def test_a_paused_page_never_shows_one_scene_under_the_name_of_another(page: Page):
    page.next_moments(2)
    page.page.keyboard.press("Space")
    real = page.pixels("#main")
    page.page.keyboard.press("2")
    expect(page.page.locator("#return-name")).to_have_text("predicted return")
    page.until(lambda: page.moments[-1]["scene"] == "dream", "the dream's moment")
    page.until(lambda: page.pixels("#main") != real, "the dream's picture")


def test_a_page_that_nobody_sees_is_sent_nothing(browser: Any, server: Running):
    page = Page(browser, server.url, "Object.defineProperty(document, 'hidden', { get: () => true });")
    page.page.wait_for_timeout(300)
    page.moments.clear()
    page.page.wait_for_timeout(400)
    assert not page.moments
    page.context.close()


# Every message arrives a second late, as over a slow line.
SLOW = """window.WebSocket = class extends WebSocket {
  set onmessage(told) { super.onmessage = (event) => setTimeout(() => told(event), 1000); }
};"""


@pytest.mark.parametrize("way", ["a tab", "a key", "the address"])
def test_a_scene_can_be_chosen_before_the_server_has_said_hello(browser: Any, server: Running, way: str):
    page = Page(browser, server.url + "#dream", SLOW)
    page.page.reload()  # here nobody waits for the hello
    if way == "a tab":
        page.page.click("[data-go=latents]")
    elif way == "a key":
        page.page.keyboard.press("Shift+Digit6")
    else:
        page.page.evaluate("location.hash = '#latents'")
    expect(page.page.locator("#latent")).to_be_visible()
    expect(page.page.locator("#sentence")).to_contain_text("numbers, z")
    assert page.page.url.endswith("#latents")
    page.context.close()
    assert page.complaints == []


def test_the_address_keeps_the_scene_and_is_obeyed(browser: Any, server: Running):
    page = Page(browser, server.url + "#dream&tau=1.15&speed=2")
    expect(page.page.locator("[data-go=dream]")).to_have_attribute("aria-current", "page")
    assert (page.page.input_value("#temperature"), page.page.input_value("#speed")) == ("1.15", "1")
    page.until(lambda: page.moments and page.moments[-1]["scene"] == "dream", "the dream")
    page.go("wake")
    assert page.page.url.endswith("#wake&tau=1.15&speed=2")
    page.page.reload()
    expect(page.page.locator("[data-go=wake]")).to_have_attribute("aria-current", "page")
    page.page.evaluate("location.hash = '#latents'")
    expect(page.page.locator("#latent")).to_be_visible()
    page.context.close()
    assert page.complaints == []


def test_an_address_that_names_no_agent_shows_the_servers_own(browser: Any, server: Running):
    page = Page(browser, server.url + "#dream&agent=gone")
    expect(page.page.locator("#note")).to_contain_text("no agent 'gone'")
    assert page.page.input_value("#agent") == "toy"
    assert page.page.url.endswith("#dream")
    page.context.close()
    assert page.complaints == []


def test_help_opens_and_closes_and_names_only_keys_of_this_world(page: Page):
    page.page.keyboard.press("?")
    expect(page.page.locator("dialog#keys")).to_be_visible()
    assert "↑" not in page.page.inner_text("#keys")
    assert page.page.locator("#hint .for-keys").inner_text().startswith("← →")
    page.page.keyboard.press("Escape")
    expect(page.page.locator("dialog#keys")).not_to_be_visible()


@pytest.mark.parametrize("scene", ["real", "dream", "wake"])
def test_everything_that_moves_is_in_sight_at_1280_by_720(scene: str, browser: Any, server: Running):
    page = Page(browser, f"{server.url}#{scene}", viewport={"width": 1280, "height": 720})
    page.next_moments(2)
    for canvas in page.page.locator("#main, .curves canvas:visible").all():
        box = canvas.bounding_box()
        assert box["height"] > 40
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 720
    page.context.close()


def test_a_phone_across_shows_the_picture_between_the_thumbs(browser: Any, server: Running):
    page = Page(browser, server.url, viewport={"width": 844, "height": 390}, has_touch=True, is_mobile=True)
    page.next_moments(2)
    picture = page.page.locator("#main").bounding_box()
    assert picture["y"] + picture["height"] <= 390
    assert picture["height"] > 250
    for button in page.page.locator("#pad button").all():
        box = button.bounding_box()
        assert box["x"] + box["width"] <= picture["x"] or box["x"] >= picture["x"] + picture["width"]
        assert box["y"] + box["height"] <= 390
    page.page.evaluate("location.hash = '#game'")
    expect(page.page.locator("#guess")).to_be_in_viewport(ratio=1)
    expect(page.page.locator("[data-go=game]")).to_be_in_viewport(ratio=1)
    picture, button = (page.page.locator(one).bounding_box() for one in ("#main", "#guess"))
    assert button["x"] >= picture["x"] + picture["width"]
    page.context.close()


def test_a_fan_of_futures_lies_over_the_paused_picture(page: Page):
    page.next_moments(3)
    page.page.keyboard.press("f")
    expect(page.page.locator("#meter")).to_have_text("paused")
    expect(page.page.locator("#fan-text")).to_contain_text("16 dreams", timeout=PATIENCE)
    painted = (
        "canvas => { const empty = document.createElement('canvas'); empty.width = canvas.width;"
        "empty.height = canvas.height; return empty.toDataURL() !== canvas.toDataURL(); }"
    )
    page.until(lambda: page.page.locator("#overlay").evaluate(painted), "ghosts over the picture")
    before = page.page.input_value("#fan-at")
    page.until(lambda: page.page.input_value("#fan-at") != before, "the next stop")
    page.page.keyboard.press("Space")
    expect(page.page.locator("#fan-box")).to_be_hidden()
    assert not page.page.locator("#overlay").evaluate(painted)


def test_the_game_is_played_to_its_truth(page: Page, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.live.game.EARLIEST", 0.1)
    monkeypatch.setattr("agents.live.game.LATEST", 0.2)
    page.go("game")
    page.until(lambda: any(moment["scene"] == "game" for moment in page.moments), "the game")
    expect(page.page.locator("#twin")).to_be_hidden()
    expect(page.page.locator(".curves")).to_be_hidden()
    verdict = page.page.locator("#verdict")
    page.until(lambda: page.page.keyboard.press("g") or verdict.text_content() != "", "a verdict")
    expect(page.page.locator("#verdict")).to_contain_text(re.compile("You noticed|Too early"), timeout=PATIENCE)
    expect(page.page.locator("#main-caption")).to_have_text("reality")
    page.page.keyboard.press("r")
    expect(page.page.locator("#verdict")).to_be_hidden()


def test_a_ghost_drives_beside(page: Page):
    page.go("ghost")
    page.until(lambda: bool(page.moments) and page.moments[-1].get("lead") is not None, "a lead")
    assert page.page.locator("#twin").is_visible()
    expect(page.page.locator("#lead")).not_to_be_empty()


def test_a_nightmare_is_dreamed_on(page: Page):
    page.next_moments(20)
    page.go("dream")
    expect(page.page.locator("#nightmares button").first).to_be_visible(timeout=PATIENCE)
    page.moments.clear()
    page.page.locator("#nightmares button").first.click()
    page.until(lambda: any(moment["step"] == 0 for moment in page.moments), "a new dream")


def test_a_recorded_episode_is_found_played_and_deleted(page: Page, drives: Drives, toy_episodes: list[Any]):
    for episode in toy_episodes[:2]:
        drives.save(episode)
    page.go("episodes")
    expect(page.page.locator("#episode-rows tr")).to_have_count(2, timeout=PATIENCE)
    page.until(lambda: bool(page.moments) and page.moments[-1]["scene"] == "episodes", "the first of them")
    longest = max(toy_episodes[:2], key=len)
    page.page.fill("#least-steps", str(len(longest)))
    expect(page.page.locator("#episode-rows tr")).to_have_count(1)
    page.page.click("#episode-rows button")
    page.until(lambda: page.moments[-1]["seed"] == longest.seed, "the longest")
    with page.page.expect_download() as download:
        page.page.click("#episode-gif")
    assert download.value.suggested_filename == f"toy-episode-{longest.seed}.gif"
    page.page.on("dialog", lambda dialog: dialog.accept())
    page.page.click("#episode-delete")
    page.page.fill("#least-steps", "")
    expect(page.page.locator("#episode-rows tr")).to_have_count(1, timeout=PATIENCE)
    assert len(drives.store) == 1


def test_a_z_is_dreamed_on_and_the_strongest_come_first(page: Page):
    page.go("latents")
    expect(page.page.locator("#walk figure")).to_have_count(4, timeout=PATIENCE)
    titles = [one.get_attribute("title") for one in page.page.locator("#walk figure").all()]
    effects = [float(re.findall(r"[\d.]+", title)[0]) for title in titles]
    assert effects == sorted(effects, reverse=True)
    page.page.click("#latent-zero")
    page.until(lambda: page.page.get_attribute("#bars", "aria-valuenow") == "0.00", "z of zeros")
    page.page.wait_for_timeout(300)
    page.moments.clear()
    page.page.keyboard.press("d")
    page.until(lambda: bool(page.moments) and page.moments[0]["scene"] == "dream", "the dream")
    page.until(lambda: any(moment["z"] == [0.0] * 4 for moment in page.moments), "a dream that begins at zero")


def test_small_pictures_are_smooth_or_crisp(page: Page):
    page.next_moments(2)
    look = "canvas => getComputedStyle(canvas).imageRendering"
    assert page.page.locator("#tiles canvas").first.evaluate(look) == "pixelated"
    page.page.keyboard.press("b")
    assert page.page.locator("#tiles canvas").first.evaluate(look) == "auto"


def test_a_gamepad_drives(browser: Any, server: Running):
    page = Page(
        browser,
        server.url,
        "window.stick = 0; const button = (at) => ({ pressed: false, value: 0 });"
        "navigator.getGamepads = () => [{ axes: [window.stick, 0], buttons: Array.from({ length: 16 }, button) }];",
    )
    page.next_moments(1)
    page.page.evaluate("dispatchEvent(new Event('gamepadconnected')); window.stick = 1;")
    page.until(lambda: page.moments[-1]["action"] == [1.0], "the wheel fully turned")
    page.page.evaluate("window.stick = 0.1;")
    page.until(lambda: not page.moments[-1]["by_hand"], "the agent at the wheel again")
    page.context.close()
    assert page.complaints == []


def test_another_agent_is_picked(browser: Any, toy_agent: Agent, tiny_run: Path, tmp_path: Path):
    library = Library(toy_agent, tiny_run.parent, Drives(tmp_path / "human", toy_agent.env))
    running = Running(Shared.of(library, tmp_path))
    page = Page(browser, running.url)
    assert page.page.input_value("#agent") == "toy"
    page.page.select_option("#agent", tiny_run.name)
    page.until(lambda: tiny_run.name in page.page.title(), "the other agent")
    assert page.page.url.endswith(f"&agent={tiny_run.name}")
    page.next_moments(2)
    page.page.reload()
    page.until(lambda: page.page.input_value("#agent") == tiny_run.name, "the same agent after a reload")
    page.context.close()
    running.stop()
    assert page.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_to_complain_of(scheme: str, browser: Any, server: Running):
    package = pytest.importorskip("axe_playwright_python", reason="LEFT OUT, accessibility: axe-playwright-python")
    source = (Path(package.__file__).parent / "axe.min.js").read_text()
    page = Page(browser, server.url, color_scheme=scheme, reduced_motion="reduce")
    page.next_moments(1)
    page.page.keyboard.press("c")
    page.page.evaluate(source)
    for scene in page.page.locator("[data-go]:visible").all():
        scene.click()
        page.page.wait_for_timeout(250)
        found = page.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []
    page.page.keyboard.press("?")
    assert page.page.evaluate("axe.run(document)")["violations"] == []
    page.context.close()


def test_images_appear_where_there_are_runs(browser: Any, shared: Shared):
    rng = np.random.default_rng(0)
    np.savez(shared.images / "noise.npz", images=rng.integers(0, 255, (40, 16, 16), np.uint8), labels=np.arange(40) % 2)
    config = dataclasses.replace(
        preset("vae", "tiny"), data=str(shared.images / "noise.npz"), size=16, steps=1, batch_size=8
    )
    fit_images("vae", config, shared.images / "squares", torch.device("cpu"))
    other = dataclasses.replace(preset("lapgan", "tiny"), data=config.data, size=32, steps=1, batch_size=8)
    fit_images("lapgan", other, shared.images / "pyramid", torch.device("cpu"))
    gone = dataclasses.replace(preset("ae", "tiny"), data=str(shared.images / "gone.npz"), steps=1, batch_size=8)
    np.savez(gone.data, images=rng.integers(0, 255, (40, 8, 8), np.uint8))
    fit_images("ae", gone, shared.images / "gone", torch.device("cpu"))
    Path(gone.data).unlink()
    running = Running(shared)
    page = Page(browser, running.url)
    page.go("images")
    page.page.select_option("#image-run", "gone")
    expect(page.page.locator("#grid-name")).to_contain_text("There is no file or folder")
    expect(page.page.locator("#image-grid")).to_be_hidden()
    page.page.select_option("#image-run", "pyramid")
    expect(page.page.locator("#grid-name")).to_have_text("Samples")
    page.until(lambda: page.page.locator("#image-grid").evaluate("canvas => canvas.width") > 300, "its samples")
    expect(page.page.locator("#image-path-box")).to_be_hidden()
    expect(page.page.locator("#truncation-box")).to_be_hidden()
    page.page.select_option("#image-run", "squares")
    expect(page.page.locator("#image-path-box")).to_be_visible()
    page.until(lambda: page.page.locator("#image-grid").evaluate("canvas => canvas.width") > 300, "a sheet of samples")
    before = page.pixels("#image-grid")
    page.slide("#truncation", 0.2)
    page.until(lambda: page.pixels("#image-grid") != before, "other samples")
    path = page.pixels("#image-path")
    page.slide("#image-share", 20)
    page.until(lambda: page.pixels("#image-path") != path, "a step on the way")
    path = page.pixels("#image-path")
    page.page.focus("#image-grid")
    page.page.keyboard.press("ArrowDown")
    page.until(lambda: page.pixels("#image-path") != path, "the way to another picture")
    expect(page.page.locator("#attributes label")).to_have_count(2)
    for hidden in page.page.locator("[hidden]").all():
        assert not hidden.is_visible()
    page.context.close()
    running.stop()
    assert page.complaints == []


def test_the_page_is_dark_or_light_as_the_system_and_its_button_say(browser: Any, server: Running):
    for scheme, background in (("dark", "rgb(14, 16, 20)"), ("light", "rgb(245, 245, 242)")):
        page = Page(browser, server.url, color_scheme=scheme)
        assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") == background
        page.page.click("#theme")
        assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") != background
        page.context.close()


@pytest.mark.skipif(not os.environ.get("LIVE_MINUTE"), reason="a minute in real time: set LIVE_MINUTE=1")
def test_a_minute_at_thirty_frames_per_second_in_bounded_memory(page: Page):
    """The dream at a speed that asks for 40 pictures per second (toy: 20 per second at speed 1), as the page counts."""
    page.go("dream")
    page.slide("#speed", 1)

    def heap() -> float:
        session = page.context.new_cdp_session(page.page)
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"])

    rates, heaps = [], []
    for _ in range(12):
        page.page.wait_for_timeout(5000)
        rates.append(float(re.match(r"(\d+) fps", page.page.inner_text("#meter")).group(1)))  # type: ignore[union-attr]
        heaps.append(heap())
    assert np.median(rates) >= 30
    assert min(rates[1:]) >= 25
    assert max(heaps[6:]) < heaps[3] + 5e6
    page.context.close()
    assert not viewer_threads() or len(viewer_threads()) <= 1
