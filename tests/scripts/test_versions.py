"""The scripts that try every Python and the lowest versions: what they read from pyproject.toml, and what they try."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lowest() -> Any:
    spec = importlib.util.spec_from_file_location("lowest", ROOT / ".ci" / "lowest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_requirement_has_a_lowest_version_and_is_held_to_it(lowest: Any):
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", PYPROJECT, re.DOTALL | re.MULTILINE)
    assert listed is not None
    names = re.findall(r'^  "([a-z0-9-]+)', listed[1], re.MULTILINE)
    bounds = lowest.lowest(PYPROJECT)
    assert len(names) > 10
    assert set(names) <= set(bounds)
    assert "ruff" not in bounds  # what only the tests need may be new


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.6", ">=2.6,<2.6.1"), ("12", ">=12,<12.0.1"), ("0.4.3", ">=0.4.3,<0.4.4"), ("4.9", ">=4.9,<4.9.1")],
)
def test_a_bound_admits_that_version_alone(version: str, expected: str, lowest: Any):
    assert lowest.exactly("name", version) == f"name{expected}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_python_that_is_not_there_is_skipped_and_said_to_be(tmp_path: Path):
    """With an empty home and a path without any Python."""
    for tool in ("dirname", "mktemp", "bash"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    ended = subprocess.run(
        ["bash", ROOT / ".ci" / "versions", "3.13"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "3.13: skipped, as there is no Python 3.13 on this machine" in ended.stdout


def test_the_script_can_be_called_and_tries_what_is_promised():
    script = ROOT / ".ci" / "versions"
    assert os.access(script, os.X_OK)
    tried = re.findall(r'^pythons="(.*)"', script.read_text(), re.MULTILINE)[0].split()
    assert re.findall(r'requires-python = ">=(.*)"', PYPROJECT) == tried[:1]
