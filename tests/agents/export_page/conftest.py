"""Exported pages of tiny agents, and what their scripts compute: in Node, and in a browser from a plain file server."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from agents import Agent
from agents.controller import ControllerSpec, Spec
from agents.export_page import describe_agent, write_page
from rollouts import EnvConfig
from rollouts.envs.actions import ActionSpec
from worldmodels import WorldModel

NODE = shutil.which("node")
CORE = ("arithmetic", "noise", "tensors", "matmul", "network", "mdnrnn", "controller", "dream", "driver", "model")
WIDE = ActionSpec("box", (-1.0, 0.0, 0.2), (1.0, 1.0, 0.8), (1.0, 0.5, 1.0), (0.0, 0.5, 0.1))
CHOICE = ActionSpec("discrete", (0.0,) * 3, (1.0,) * 3, (1.0,) * 3, (0.0,) * 3, (0, 1, 2))

MakeAgent = Callable[..., Agent]
Compute = Callable[[Path, str], Any]
"""Evaluates an expression among the scripts of an exported folder; its value comes back through JSON."""


@pytest.fixture(scope="session")
def make_agent(make_model: Callable[..., WorldModel]) -> MakeAgent:
    """Makes agents with random weights, large enough that they act; options are those of ``make_model``."""

    def make(spec: Spec | None = None, **options: Any) -> Agent:
        model, spec = make_model(**options), spec or ControllerSpec("zh")
        controller = spec.build(model)
        parameters = torch.randn(controller.parameter_count, generator=torch.Generator().manual_seed(1))
        return Agent(Path("runs/toy"), model, spec, controller, parameters, EnvConfig("toy"))

    return make


@pytest.fixture(scope="session")
def exported(make_agent: MakeAgent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one tiny agent."""
    folder = tmp_path_factory.mktemp("exported") / "page"
    write_page(describe_agent(make_agent(), starts=6), folder)
    return folder


@dataclass(frozen=True)
class Exported:
    """A released agent, its folder, and the bytes of all files in it."""

    agent: Agent
    folder: Path
    size: int


Released = Callable[[str], Exported]


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Exports released agents, each once."""

    @functools.cache
    def export(name: str) -> Exported:
        agent, folder = Agent.load(f"pretrained/{name}"), tmp_path_factory.mktemp(name) / "page"
        return Exported(agent, folder, write_page(describe_agent(agent), folder))

    return export


class Served:
    """A folder behind Python's own file server, on a free port."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(Quiet, directory=str(folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def in_node(folder: Path, expression: str) -> Any:
    """What an expression gives in Node, among the page's scripts that need no document."""
    scripts = [f"{name}.js" for name in CORE]
    command = [str(NODE), str(Path(__file__).with_name("run_in_node.js")), str(folder), *scripts]
    done = subprocess.run(command, input=expression, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def in_engine() -> Compute:
    """In Node: for what cannot differ between engines."""
    if NODE is None:
        pytest.skip("LEFT OUT, the exported page's scripts in Node: there is no node (apt-get install nodejs)")
    return in_node


@pytest.fixture
def in_chromium(browser: Any) -> Compute:
    """On the page itself, from a plain file server."""

    def compute(folder: Path, expression: str) -> Any:
        served = Served(folder)
        page = browser.new_page()
        page.goto(served.url)
        value = page.evaluate(expression)
        page.close()
        served.close()
        return value

    return compute
