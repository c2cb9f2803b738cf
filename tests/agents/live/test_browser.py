"""The page in a real browser: headless Chromium, driven by Playwright, on a running server.

Left out, with a reason, where there is no Chromium (``CHROMIUM`` names one that is not on the PATH). What may happen
at an unlucky moment is in ``test_races.py``.
``LIVE_MINUTE=1`` adds the minute in real time.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from agents.agent import Agent
from agents.live.library import Library
from agents.live.recorder import Drives
from agents.live.session import Shared
from tests.agents.live.browsing import Page, expect
from tests.agents.live.conftest import Running, viewer_threads
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.registry import preset


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
        expect(badge).to_have_text("agent")
        page.page.keyboard.down("ArrowRight")
        expect(badge).to_have_text("you")
        page.until(lambda: page.moments[-1]["action"] == [1.0], "the wheel fully turned")
        assert "down" in page.page.locator("[data-key=right]").get_attribute("class")
        page.page.keyboard.up("ArrowRight")
        expect(badge).to_have_text("agent")
    page.page.keyboard.press("t")
    expect(badge).to_have_text("you")


def test_touch_drives_too(browser: Any, server: Running):
    page = Page(browser, server.url, viewport={"width": 390, "height": 844}, has_touch=True)
    page.shown()
    page.page.hover("[data-key=left]")
    page.page.mouse.down()
    page.until(lambda: page.moments and page.moments[-1]["action"] == [-1.0], "a turn to the left")
    page.page.mouse.up()
    page.until(lambda: not page.moments[-1]["by_hand"], "the agent at the wheel again")
    wide = page.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    page.close()


def test_the_temperature_changes_the_spread_of_the_dream(page: Page):
    page.go("dream")
    page.until(lambda: page.moments and page.moments[-1]["scene"] == "dream", "the dream")

    def steps(seed: int) -> list[Any]:  # moments may be left out on the way
        dream = [moment for moment in page.moments if moment["seed"] == seed]
        pairs = itertools.pairwise(dream)
        return [np.subtract(new["z"], old["z"]) for old, new in pairs if new["step"] == old["step"] + 1]

    def spread(temperature: float) -> float:
        page.slide("#temperature", temperature)
        seed = page.next_moments(1)[0]["seed"]
        page.page.click("#restart")
        page.another_seed(seed)
        seed = page.moments[-1]["seed"]
        page.until(lambda: len(steps(seed)) >= 12, "12 steps of a new dream")
        return float(np.std(steps(seed)))

    assert spread(0.0) < spread(3.0) / 2


def test_pause_step_and_speed(page: Page):
    page.next_moments(1)
    page.page.keyboard.press("Space")
    expect(page.page.locator("#meter")).to_have_text("paused")
    page.settle()
    page.moments.clear()
    page.page.keyboard.press("n")
    page.page.keyboard.press("n")
    page.settle()
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
    page.until(lambda: len(drives.store) > 0, "an episode on disk")
    page.page.keyboard.up("d")
    page.noted("human")
    expect(page.page.locator("#record")).to_contain_text(re.compile("[1-9] saved"))


def test_latents_are_dragged_walked_and_mixed(page: Page):
    page.next_moments(1)
    page.page.keyboard.press("c")
    page.next_moments(8)
    page.page.keyboard.press("c")
    page.go("latents")
    expect(page.page.locator("#gallery figure")).to_have_count(2)
    expect(page.page.locator("#walk figure")).to_have_count(4)
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
    page.js(  # half a second may pass between two looks from here
        "() => { window.veiled = 0; const veil = document.querySelector('.veil'); new MutationObserver("
        "() => { veiled += veil.getClientRects().length; }).observe(document.body, { attributes: true }); }"
    )
    server.drop_all()
    page.until(lambda: page.js("veiled") > 0, "no connection")
    page.until(lambda: page.page.locator("body.lost").count() == 0, "connected again")
    page.next_moments(3)
    assert not page.page.locator(".veil").is_visible()


def test_a_new_session_forgets_what_the_last_one_had_captured(page: Page, server: Running):
    page.next_moments(1)
    page.page.keyboard.press("c")
    expect(page.page.locator("#start [data-captured]")).to_have_count(1)
    server.drop_all()
    expect(page.page.locator("#start [data-captured]")).to_have_count(0)


def test_an_error_ends_in_a_new_view_with_its_message(page: Page, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agents.live.latents.LatentBench.capture", lambda *_: 1 // 0)
    page.next_moments(1)
    page.page.keyboard.press("c")
    page.noted("begin anew because of an error")
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
    page.settle()
    page.moments.clear()
    page.page.wait_for_timeout(400)
    assert not page.moments
    page.close()


def test_the_address_keeps_the_scene_and_is_obeyed(browser: Any, server: Running):
    page = Page(browser, server.url + "#dream&tau=1.15&speed=2")
    expect(page.page.locator("[data-go=dream]")).to_have_attribute("aria-current", "page")
    assert (page.page.input_value("#temperature"), page.page.input_value("#speed")) == ("1.15", "1")
    page.until(lambda: page.moments and page.moments[-1]["scene"] == "dream", "the dream")
    page.go("wake")
    page.address("#wake&tau=1.15&speed=2")
    page.page.reload()
    expect(page.page.locator("[data-go=wake]")).to_have_attribute("aria-current", "page")
    page.page.evaluate("location.hash = '#latents'")
    expect(page.page.locator("#latent")).to_be_visible()
    page.close()


def test_an_address_that_names_no_agent_shows_the_servers_own(browser: Any, server: Running):
    page = Page(browser, server.url + "#dream&agent=gone")
    page.noted("no agent 'gone'")
    assert page.page.input_value("#agent") == "toy"
    page.address("#dream")
    page.close()


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
    page.shown()
    for canvas in page.page.locator("#main, .curves canvas:visible").all():
        box = canvas.bounding_box()
        assert box["height"] > 40
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 720
    page.close()


def test_a_phone_across_shows_the_picture_between_the_thumbs(browser: Any, server: Running):
    page = Page(browser, server.url, viewport={"width": 844, "height": 390}, has_touch=True, is_mobile=True)
    page.shown()
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
    page.close()


def test_a_fan_of_futures_lies_over_the_paused_picture(page: Page):
    page.next_moments(3)
    page.page.keyboard.press("f")
    expect(page.page.locator("#meter")).to_have_text("paused")
    expect(page.page.locator("#fan-text")).to_contain_text("16 dreams")
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

    def told() -> bool:  # by both texts at once: the truth makes way for another game when the episode is over
        page.page.keyboard.press("g")
        caption, verdict = page.js("['main-caption', 'verdict'].map((id) => document.getElementById(id).textContent)")
        return caption == "reality" and bool(re.match("You noticed|Too early", verdict))

    page.until(told, "a verdict")
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
    expect(page.page.locator("#nightmares button").first).to_be_visible()
    page.until(lambda: page.moments[-1]["scene"] == "dream", "the dream")
    seed = page.moments[-1]["seed"]
    page.page.locator("#nightmares button").first.click()
    page.another_seed(seed)


def test_a_recorded_episode_is_found_played_and_deleted(page: Page, drives: Drives, toy_episodes: list[Any]):
    for episode in toy_episodes[:2]:
        drives.save(episode)
    page.go("episodes")
    expect(page.page.locator("#episode-rows tr")).to_have_count(2)
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
    expect(page.page.locator("#episode-rows tr")).to_have_count(1)
    assert len(drives.store) == 1


def test_a_z_is_dreamed_on_and_the_strongest_come_first(page: Page):
    page.go("latents")
    expect(page.page.locator("#walk figure")).to_have_count(4)
    titles = [one.get_attribute("title") for one in page.page.locator("#walk figure").all()]
    effects = [float(re.findall(r"[\d.]+", title)[0]) for title in titles]
    assert effects == sorted(effects, reverse=True)
    page.page.click("#latent-zero")
    page.until(lambda: page.page.get_attribute("#bars", "aria-valuenow") == "0.00", "z of zeros")
    page.slide("#horizon", 10)  # a first moment that is left out on the way comes again
    page.page.keyboard.press("d")
    zeros = ("dream", [0.0] * 4)
    page.until(lambda: any((m["scene"], m["z"]) == zeros for m in page.moments), "a dream that begins at zero")


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
    page.close()


def test_another_agent_is_picked(browser: Any, toy_agent: Agent, tiny_run: Path, tmp_path: Path):
    library = Library(toy_agent, tiny_run.parent, Drives(tmp_path / "human", toy_agent.env))
    running = Running(Shared.of(library, tmp_path))
    page = Page(browser, running.url)
    assert page.page.input_value("#agent") == "toy"
    page.page.select_option("#agent", tiny_run.name)
    page.until(lambda: tiny_run.name in page.page.title(), "the other agent")
    page.address(f"&agent={tiny_run.name}")
    page.next_moments(2)
    page.page.reload()
    page.until(lambda: page.page.input_value("#agent") == tiny_run.name, "the same agent after a reload")
    page.close()
    running.stop()


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
    page.close()


@pytest.mark.slow
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
    page.js(  # between the connection and the hello: of a session that has no model yet, so that it gives no answer
        "new MutationObserver(() => { if (!document.body.classList.contains('lost'))"
        "document.getElementById('truncation').dispatchEvent(new Event('input')); })"
        ".observe(document.body, { attributes: true })"
    )
    page.page.locator("#image-grid").evaluate("canvas => { canvas.width = 1; }")
    running.drop_all()
    page.until(lambda: page.page.locator("#image-grid").evaluate("canvas => canvas.width") > 300, "a sheet once more")
    page.close()
    running.stop()


def test_the_page_is_dark_or_light_as_the_system_and_its_button_say(browser: Any, server: Running):
    for scheme, background in (("dark", "rgb(14, 16, 20)"), ("light", "rgb(245, 245, 242)")):
        page = Page(browser, server.url, color_scheme=scheme)
        assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") == background
        page.page.click("#theme")
        assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") != background
        page.close()


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
