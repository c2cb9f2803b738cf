"""``kill -9`` in every stage of the pipeline, and the same command again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.helpers import differences

#: Where the process is killed, and with how many workers it ran: the number changes nothing.
POINTS = {
    "rollouts, while an episode is put in place": ("pathlib:Path.replace:*/rollouts/episodes/*3.npz", 2),
    "vae, while a checkpoint is put in place": ("pathlib:Path.replace:*/vae/state.pt", 0),
    "mdnrnn, between a checkpoint and the results": ("pathlib:Path.replace:*/mdnrnn/starts.safetensors", 0),
    "controller, between two generations": ("agents.learning.cma_es:CMAES.tell:*", 2),
    "round-1, while M's episodes are encoded": ("pathlib:Path.replace:*/round-1/latents/training/*2.npz", 0),
    "the video": ("pathlib:Path.replace:*/dream.mp4", 0),
}


def start(run: Path, workers: int, hold: str | None = None) -> subprocess.Popen[bytes]:
    """``pipeline.py --preset tiny`` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if hold is not None:
        environment |= {"HOLD": hold, "MARKER": str(run.with_name("marker"))}
    command = [sys.executable, str(Path(__file__).with_name("victim.py")), "pipeline", "--preset", "tiny"]
    return subprocess.Popen(
        [*command, "--run", str(run), "--workers", str(workers), "--device", "cpu"],
        env=environment,
        stderr=run.with_name("stderr").open("ab"),
    )


def descendants(process: int) -> set[int]:
    """All processes below one, from /proc."""
    found = set[int]()
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # of a thread that has just ended
            for child in map(int, children.read_text().split()):
                found |= {child} | descendants(child)
    return found


def wait_until(condition: object, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.02)
    return bool(condition())  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.timeout(600)  # eight starts of Python with torch
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_killed_in_every_stage_the_run_ends_as_if_nothing_had_happened(finished: Path, tmp_path: Path):
    run, marker, stderr = tmp_path / "run", tmp_path / "marker", tmp_path / "stderr"
    for place, (hold, workers) in POINTS.items():
        process = start(run, workers, hold)
        assert wait_until(lambda p=process: marker.exists() or p.poll() is not None, 120), place
        assert process.poll() is None, (place, stderr.read_text())
        workers_alive = descendants(process.pid)
        assert len(workers_alive) >= workers
        process.kill()
        process.wait()
        gone = wait_until(lambda ps=workers_alive: not any(Path(f"/proc/{p}").exists() for p in ps), 30)
        assert gone, f"workers outlived their parent: {place}"
        marker.unlink()
    assert start(run, 0).wait(200) == 0, stderr.read_text()
    assert not list(run.rglob("*.tmp"))
    assert differences(finished, run) == []
