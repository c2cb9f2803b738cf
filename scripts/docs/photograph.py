"""Photograph: pictures of the live page for the README, and of an exported one, taken in headless Chromium.

python scripts/docs/photograph.py --agent runs/car
python scripts/docs/photograph.py --agent pretrained/carracing --views exported
python scripts/docs/photograph.py --agent runs/car --views all --out pictures/
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from typing import Any, Literal

from agents.agent import Agent
from agents.cli.options import AgentName, Command, Device
from agents.cli.places import RUNS, default_agent
from agents.export_page import describe_agent, write_page
from agents.live import ServeConfig
from agents.live.library import Library
from agents.live.recorder import Drives
from agents.live.server import LiveServer
from agents.live.session import Shared
from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.training.checkpoint import pick_device

ROOT = Path(__file__).parents[2]
WIDE, PHONE = (1440, 900), (390, 844)
SCENES = ("real", "dream", "wake", "game", "ghost", "latents", "episodes", "images")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


@dataclass(frozen=True)
class Arguments:
    """Whose page, which views of it, and where the pictures go."""

    agent: AgentName = None
    """Run directory or pretrained/NAME. Default: the newest run."""
    images: Path = RUNS
    """Where runs of image models are."""
    views: Literal["readme", "all", "exported"] = "readme"
    """readme: the README's two. all: every scene, wide and phone, dark and light. exported: without a server."""
    out: Path = ROOT / "docs" / "live"
    """Folder for the pictures."""
    seconds: float = 8.0
    """How long to wait for the 8 seconds of the GIF; longer on a slow machine."""
    device: Device = "auto"


def body(arguments: Arguments) -> None:
    """Serve the page, look at it, and write what there is to see."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UserError("Photographs need playwright: pip install -e '.[dev]'") from error
    if (chromium := shutil.which("chromium") or shutil.which("google-chrome")) is None:
        raise UserError("Photographs need a Chromium on the PATH: apt-get install chromium")
    agent = Agent.load(arguments.agent or default_agent(), pick_device(arguments.device))
    arguments.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch, sync_playwright() as tools:
        shared = Shared.of(Library(agent, RUNS, Drives(Path(scratch), agent.env)), arguments.images)
        browser = tools.chromium.launch(executable_path=chromium, args=list(ARGUMENTS), timeout=120_000)
        if arguments.views == "exported":
            exported_page(browser, agent, Path(scratch) / "page", arguments.out)
            browser.close()
            return
        with served(shared) as url:
            if arguments.views == "all":
                for scheme in ("dark", "light"):
                    for size in (WIDE, PHONE):
                        every_scene(browser, url, size, scheme, arguments.out)
            else:
                readme_pictures(browser, url, arguments.out, arguments.seconds)
        browser.close()
    say(f"Look at {arguments.out}")


@contextmanager
def served(shared: Shared) -> Iterator[str]:
    """The page on a free port, for as long as the context lasts."""
    urls: Queue[str] = Queue()
    live = LiveServer(shared, ServeConfig(port=0))
    loops: Queue[asyncio.AbstractEventLoop] = Queue()

    async def run() -> None:
        loops.put(asyncio.get_running_loop())
        await live.run(urls.put)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield urls.get()
    finally:
        loops.get().call_soon_threadsafe(live.stop.set)
        thread.join()


def opened(browser: Any, url: str, size: tuple[int, int], scheme: str) -> Any:
    """The page, once it shows something."""
    phone = size == PHONE
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        has_touch=phone,
        is_mobile=phone,
        device_scale_factor=2 if phone else 1,
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    page.wait_for_selector("#sentence:not(:empty)")
    page.wait_for_selector("#tiles canvas")
    return page


def look(page: Any, scene: str) -> None:
    """Go to a scene and wait until there is something to see of it."""
    page.click(f"[data-go={scene}]")
    page.wait_for_timeout(6000)
    if scene == "images":
        page.wait_for_selector("body[data-images=ready]")
    if scene == "latents":
        page.wait_for_selector("#walk figure")
        page.wait_for_timeout(1200)


def every_scene(browser: Any, url: str, size: tuple[int, int], scheme: str, out: Path) -> None:
    """One picture of every scene."""
    page = opened(browser, url, size, scheme)
    for scene in SCENES:
        if page.locator(f"[data-go={scene}]").is_hidden():
            continue
        look(page, scene)
        page.screenshot(path=out / f"{scene}-{size[0]}-{scheme}.png")
        if size == PHONE:
            page.screenshot(path=out / f"{scene}-{size[0]}-{scheme}-all.png", full_page=True)
        if scene in ("real", "dream"):
            page.keyboard.press("c")
            page.wait_for_timeout(800)
    page.context.close()


def exported_page(browser: Any, agent: Agent, folder: Path, out: Path) -> None:
    """``exported.png``: a dream that plays from a folder, with somebody at the wheel."""
    write_page(describe_agent(agent), folder)
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="dark")
    page = context.new_page()
    page.goto((folder / "index.html").as_uri() + "#seed=7")
    page.wait_for_function("player.pictures > 100", timeout=120_000)
    page.keyboard.down("ArrowUp")
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "exported.png")
    context.close()


def readme_pictures(browser: Any, url: str, out: Path, seconds: float) -> None:
    """``dream.png``, and ``live.gif``: reality and the dream that began in it; somebody drives in the end."""
    page = opened(browser, url, WIDE, "dark")
    page.wait_for_timeout(1000 * seconds)
    page.click("[data-go=dream]")
    page.select_option("#start", "real")
    page.keyboard.down("ArrowUp")
    page.wait_for_timeout(1500)
    page.screenshot(path=out / "dream.png")
    page.keyboard.up("ArrowUp")
    look(page, "wake")
    page.click("#part")
    page.keyboard.down("ArrowLeft")
    page.wait_for_timeout(1500)
    page.keyboard.up("ArrowLeft")
    page.wait_for_timeout(1000 * seconds)
    page.select_option("#clip-seconds", "8")
    with page.expect_download() as download:
        page.click("#clip-gif")
    download.value.save_as(out / "live.gif")
    page.context.close()


COMMAND = Command(__doc__, Arguments, body, main=("agent", "images", "views", "out", "seconds", "device"))

if __name__ == "__main__":
    COMMAND()
