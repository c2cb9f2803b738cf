"""The folder that is written: complete, small, nobody else's, and of the parts that are checked in."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from agents.export_page import describe_agent, write_page
from agents.export_page.folder import SITE
from rollouts.errors import UserError
from tests.agents.export_page.conftest import MakeAgent, Released
from tests.faults.helpers import call
from worldmodels.cores import core_named

LARGEST = 20_000_000  #: bytes of a page


@pytest.mark.parametrize(("name", "largest"), [("carracing", 3_000_000), ("takecover", 7_000_000)])
def test_released_agents_are_small(name: str, largest: int, released: Released):
    page = released(name)
    assert page.size == sum(file.stat().st_size for file in page.folder.iterdir())
    assert page.size < largest < LARGEST


def test_a_page_has_all_that_it_asks_for_and_asks_nobody_else(exported: Path):
    texts = {file.name: file.read_text() for file in exported.iterdir() if file.suffix in (".html", ".js", ".css")}
    links = re.findall(r'(?:src|href)="([^"]+)"', texts["index.html"])
    assert {"model.js", "page.js", "style.css", "icon.svg"} <= set(links)
    assert all((exported / name).is_file() for name in links)
    assert not {file.name for file in exported.iterdir()} - {*links, "index.html"}
    assert not any("//" in line and "http" in line for text in texts.values() for line in text.splitlines())
    assert "{{" not in texts["index.html"]
    assert "runs/" not in texts["model.js"]  # nothing of the machine that made it


def test_a_page_is_replaced_and_nothing_else_is(exported: Path, make_agent: MakeAgent, tmp_path: Path):
    description = describe_agent(make_agent(), starts=2, title="<b>My</b> & yours")
    page = tmp_path / "page"
    write_page(description, page)
    (page / "old.txt").touch()
    write_page(description, page)
    assert sorted(file.name for file in page.iterdir()) == sorted(file.name for file in exported.iterdir())
    assert "<title>&lt;b&gt;My&lt;/b&gt; &amp; yours</title>" in (page / "index.html").read_text()
    for name in ("folder/file.txt", "file"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
        with pytest.raises(UserError, match="no exported page"):
            write_page(description, tmp_path / name.split("/")[0])
        assert (tmp_path / name).read_text() == "mine"
    write_page(description, tmp_path / "new" / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "new", "page"]


def test_as_different_starts_as_are_asked_for(make_agent: MakeAgent):
    agent = make_agent()
    assert agent.model.starts is not None
    for most, kept in ((1, 1), (5, 5), (99, len(agent.model.starts))):
        starts = describe_agent(agent, starts=most)["starts"]
        assert starts["count"] == len(starts["warm"]) == kept
        assert len(starts["promising"]) == -(-kept // 2)
        assert set(starts["promising"]) <= set(range(kept))
    with pytest.raises(UserError, match="--starts 0"):
        describe_agent(agent, starts=0)


def test_an_agent_that_no_page_can_run_is_refused(make_agent: MakeAgent):
    agent = make_agent()
    with pytest.raises(UserError, match="cannot act with a Mock"):
        describe_agent(replace(agent, controller=Mock(wraps=agent.controller)))
    agent.model.mdnrnn = core_named("transformer")(4, 1, 8, 3)
    with pytest.raises(UserError, match="LSTM"):
        describe_agent(agent)
    agent.model.starts = None
    with pytest.raises(UserError, match="no moments to begin from"):
        describe_agent(agent)


def test_the_command(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert call("export_page", "--help") == 0
    output = capsys.readouterr().out
    assert all(option in output for option in ("--agent", "--images", "--out", "--title", "--starts"))
    assert call("export_page", "--agent", tiny_run) == 2
    assert "--out FOLDER" in capsys.readouterr().err
    assert call("export_page", "--agent", tiny_run, "--out", "dream", "--title", "A tiny dream", "--starts", 3) == 0
    assert "dream/index.html" in capsys.readouterr().err
    assert "A tiny dream" in (tmp_path / "dream" / "index.html").read_text()


@pytest.mark.skipif(shutil.which("wat2wasm") is None, reason="LEFT OUT, matmul.wasm: there is no wat2wasm (wabt)")
def test_the_kernel_is_its_source(tmp_path: Path):
    compiled = tmp_path / "matmul.wasm"
    subprocess.run(["wat2wasm", str(SITE / "matmul.wat"), "-o", str(compiled)], check=True)
    assert compiled.read_bytes() == (SITE / "matmul.wasm").read_bytes()


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [r":root", r':root\[data-theme="light"\]'])
def test_text_can_be_read(theme: str):
    block = re.search(rf"^{theme} \{{(.*?)\}}", (SITE / "style.css").read_text(), re.M | re.S)
    assert block is not None
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block[1]))
    pairs = [(text, ground) for text in ("text", "soft", "accent") for ground in ("bg", "panel", "raised")]
    for text, ground in [*pairs, ("on-accent", "accent"), ("on-warm", "warm"), ("bg", "text"), ("warm", "panel")]:
        low, high = sorted((luminance(colours[text]), luminance(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
