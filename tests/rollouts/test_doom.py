"""ViZDoom: Take Cover as the preset shows it, and engines that neither get lost nor lose an episode."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rollouts import EnvConfig, UserError, make_env
from rollouts.collect import record_episode
from rollouts.envs.doom import SHARED_MEMORY, STALE_S, sweep_shared_memory
from rollouts.policies import POLICIES

needs_vizdoom = pytest.mark.skipif(
    importlib.util.find_spec("vizdoom") is None, reason="ViZDoom is not installed: pip install -e '.[doom]'"
)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")

LEFT, STAY, RIGHT = (np.array([value], np.float32) for value in (-0.5, 0.0, 0.5))


def engines(parent: int) -> list[int]:
    """Process ids of the engines that a process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, fields = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name == "vizdoom" and int(fields.split()[1]) == parent:
            found.append(int(folder.name))
    return found


def alive(process: int) -> bool:
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def doom():
    env = make_env("takecover")
    yield env
    env.close()


def test_without_vizdoom_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vizdoom.gymnasium_wrapper", None)
    with pytest.raises(UserError, match=r"needs ViZDoom.*pip install .*\[doom\]"):
        make_env("takecover")


@needs_vizdoom
def test_an_episode_pays_one_point_per_tic_and_ends_on_a_black_picture(doom):
    episode = record_episode(doom, POLICIES["held"], "held", 1, 2100)  # dies early
    assert 50 < len(episode) < 2100
    assert episode.total_reward == len(episode)
    assert episode.terminated[-1]
    assert not episode.terminated[:-1].any()
    assert episode.blank_end
    assert not episode.observations[-1].any()
    assert episode.pictures.shape == (len(episode), 64, 64, 3)
    assert episode.pictures.reshape(len(episode), -1).any(1).all()
    assert set(np.abs(episode.actions[:, 0]) > 1 / 3) == {False, True}


@needs_vizdoom
def test_an_episode_that_is_cut_short_ends_on_a_picture():
    env = make_env(EnvConfig("takecover", max_episode_steps=6))
    episode = record_episode(env, POLICIES["held"], "held", 0, 2100)
    env.close()
    assert len(episode) == 6
    assert episode.truncated[-1]
    assert not episode.blank_end
    assert len(episode.pictures) == 7


@needs_vizdoom
def test_actions_move_to_the_side_they_name(doom):
    buttons = [str(button).rsplit(".")[-1] for button in doom.unwrapped.game.get_available_buttons()]
    pressed = {
        name: [button for button, down in zip(buttons, doom.unwrapped.button_map[index], strict=True) if down]
        for name, index in zip(
            ("left", "stay", "right"), (doom.action_spec.to_env(a) for a in (LEFT, STAY, RIGHT)), strict=True
        )
    }
    assert pressed == {"left": ["MOVE_LEFT"], "stay": [], "right": ["MOVE_RIGHT"]}


@needs_vizdoom
@on_linux
def test_an_engine_that_is_killed_is_replaced_and_the_episode_goes_on_as_if_nothing_had_happened(doom):
    def play(killed_at: tuple[int, ...] = ()) -> list[np.ndarray]:
        frames = [doom.reset(seed=7)[0]]
        for step in range(40):
            if step in killed_at:
                os.kill(engines(os.getpid())[0], signal.SIGKILL)
            frames.append(doom.step((LEFT, RIGHT, STAY)[step // 5 % 3])[0])
        return frames

    undisturbed, disturbed = play(), play((0, 30))
    assert all(np.array_equal(one, two) for one, two in zip(undisturbed, disturbed, strict=True))
    assert len({frame.tobytes() for frame in undisturbed}) > 30


@needs_vizdoom
@on_linux
def test_an_engine_takes_no_more_memory_with_every_episode(doom):
    def resident() -> int:
        (engine,) = engines(os.getpid())
        return int((Path("/proc") / str(engine) / "statm").read_text().split()[1])

    def play(episodes: int) -> None:
        for seed in range(episodes):
            doom.reset(seed=seed)
            for _ in range(10):
                doom.step(STAY)

    play(5)
    before = resident()
    play(60)
    assert resident() < 1.1 * before


@needs_vizdoom
@on_linux
def test_nothing_is_left_of_a_collection_whose_processes_are_killed(tmp_path: Path):
    """A worker is killed and replaced; then the main process is. Every engine goes with its worker."""
    code = (
        "from pathlib import Path\n"
        "from rollouts.collect import CollectConfig, collect\n"
        "from rollouts.envs.config import EnvConfig\n"
        "if __name__ == '__main__':\n"
        "    collect(CollectConfig(episodes=500), EnvConfig('takecover'), Path('run'), 1)\n"
    )
    script = tmp_path / "collecting.py"
    script.write_text(code)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)}
    with (tmp_path / "log").open("w") as log:
        main = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, env=environment, stderr=log)

    instances = []

    def playing(other_than: int) -> tuple[int, int]:
        """Worker and engine, once another than the given engine has finished an episode."""
        files, deadline = len(list(tmp_path.rglob("*.npz"))), time.monotonic() + 60
        while time.monotonic() < deadline:
            children = map(int, Path(f"/proc/{main.pid}/task/{main.pid}/children").read_text().split())
            running = [(child, engine) for child in children for engine in engines(child) if engine != other_than]
            if running and len(list(tmp_path.rglob("*.npz"))) > files:
                command = Path(f"/proc/{running[0][1]}/cmdline").read_bytes().decode().split("\0")
                instances.append(command[command.index("+viz_instance_id") + 1])
                return running[0]
            time.sleep(0.05)
        raise AssertionError((tmp_path / "log").read_text())

    try:
        worker, first = playing(other_than=0)
        os.kill(worker, signal.SIGKILL)
        worker, second = playing(other_than=first)
    finally:
        main.kill()
        main.wait()
    deadline = time.monotonic() + 20
    while any(map(alive, (worker, first, second))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, (worker, first, second)))
    assert len(set(instances)) == 2
    assert not [file for name in instances for file in SHARED_MEMORY.glob(f"ViZDoom*{name}")]
    assert not (tmp_path / "_vizdoom").exists()


@on_linux
def test_what_an_engine_left_that_never_started_is_removed_and_a_running_ones_is_not():
    files = [SHARED_MEMORY / f"ViZDoomMQCtr{name}" for name in ("aTestStale", "aTestYoung", "aTestUsed")]
    user = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "+viz_instance_id", "aTestUsed"])
    try:
        while b"aTestUsed" not in Path(f"/proc/{user.pid}/cmdline").read_bytes():  # between fork and exec
            time.sleep(0.01)
        for file in files:
            file.touch()
            if file != files[1]:
                os.utime(file, (time.time() - 2 * STALE_S,) * 2)
        sweep_shared_memory()
        assert [file.exists() for file in files] == [False, True, True]
    finally:
        user.kill()
        user.wait()
        for file in files:
            file.unlink(missing_ok=True)
