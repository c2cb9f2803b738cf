"""The torture of runs, options, environments and the page, in its quick form: nothing comes of it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.helpers import SCRIPTS

DOCS = SCRIPTS / "docs"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/statm").exists(), reason="it forks, and asks /proc")
def test_a_few_of_everything_do_no_harm_and_are_written_down(tmp_path: Path):
    command = [sys.executable, DOCS / "torture.py", "--quick", "--work", tmp_path / "work", "--out", tmp_path / "out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=220)
    assert ended.returncode == 0, ended.stderr[-2000:]
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert {row["test"] for row in rows} == {*TITLES}
    assert [row for row in rows if row["outcome"] in BAD and (row["test"], row["outcome"]) not in RIGHT] == []
    page = (tmp_path / "out" / "README.md").read_text()
    assert all(f"## {title}" in page for title in TITLES.values())


def report():
    spec = importlib.util.spec_from_file_location("torture_report", DOCS / "torture_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RIGHT = [("options", "refused"), ("environments", "refused")]  #: where a refusal is all that is asked for
TITLES, BAD, PAGE = report().TITLES, report().BAD, report().page


def test_the_page_lists_what_is_not_as_it_should_be():
    rows = [
        {"test": "damages", "number": 0, "what": "a | cut | b", "outcome": "refused by name", "told": "Error: a"},
        {"test": "damages", "number": 1, "what": "c | cut | d", "outcome": "silent", "told": "e | f"},
        {"test": "kills", "number": 0, "what": "vae", "outcome": "bit-equal", "told": "", "kills": 3},
    ]
    page = PAGE(rows)
    assert "| Damaged files | 2 | 1 refused by name, 1 silent |" in page
    assert "| c / cut / d | silent | e / f |" in page
    assert "1 runs were killed 3 times in all" in page
    assert "* vae: 1 bit-equal" in page
