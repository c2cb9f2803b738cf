"""The uninterrupted run that all others are compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.helpers import call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole pipeline, never interrupted. Read it, do not write to it."""
    run = tmp_path_factory.mktemp("finished") / "run"
    assert call("pipeline", "--preset", "tiny", "--run", run, "--workers", 0, "--device", "cpu") == 0
    return run
