"""Look into the dream: a live page to watch the agent, drive yourself, and explore what V and M have learnt.

worldmodels play
worldmodels play --agent runs/car
worldmodels play --host 0.0.0.0 --no-browser
"""

from __future__ import annotations

import io
import os
import socket
import sys
import webbrowser
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

import tyro

from agents.agent import Agent
from agents.cli.options import AgentName, Command, Device
from agents.cli.places import RUNS, default_agent
from agents.live import ServeConfig, serve
from agents.live.library import Library
from agents.live.session import Shared
from rollouts.console import say
from worldmodels.training.checkpoint import pick_device

EVERYWHERE = ("0.0.0.0", "::")  #: hosts that mean every network this machine is in


@dataclass(frozen=True)
class Arguments:
    """Whose page to open, and where."""

    agent: AgentName = None
    """Run directory or pretrained/NAME. Default: the newest run, or the pretrained agent."""
    serve: Annotated[ServeConfig, tyro.conf.arg(name="")] = field(default_factory=ServeConfig)
    browser: bool = True
    """Open the page in a browser."""
    device: Device = "auto"


def body(arguments: Arguments) -> None:
    """Serve the page until Ctrl-C."""
    agent = Agent.load(arguments.agent or default_agent(), pick_device(arguments.device))
    shared = Shared.of(Library(agent, RUNS), RUNS)

    def ready(url: str) -> None:
        say(f"{agent.folder} is at {url}   (Ctrl-C ends it)")
        if arguments.serve.host in EVERYWHERE and sys.stdout.isatty() and (code := photograph(url)):
            say(code)
        if arguments.browser and has_display():
            webbrowser.open(url)

    serve(shared, arguments.serve, ready)


def photograph(url: str) -> str | None:
    """The page's address in the local network as a QR code for a terminal; None without the extra ``qr``.

    It names this machine by number, since few phones can look up a computer's name.
    """
    try:
        import segno
    except ImportError:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation: nothing is sent, only a way is chosen
        except OSError:
            return None
        address = f"http://{probe.getsockname()[0]}:{urlsplit(url).port}/"
    out = io.StringIO()
    segno.make(address, micro=False).terminal(out, compact=True)
    return f"{out.getvalue()}{address}"


def has_display() -> bool:
    """Whether a browser would be seen: without a screen, some systems open one in the terminal and wait for it."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=("agent", "serve.host", "serve.port", "serve.exit_when_closed", "browser", "device"),
)
