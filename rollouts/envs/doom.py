"""ViZDoom for long experiments: nothing of an engine outlives its process, and an episode outlives its engine.

ViZDoom plays in a second process, the engine, and talks to it through shared memory. As it ships, a killed Python
process leaves its engine running and 11 MB of shared memory behind, and a killed engine ends the Python process with
an exception. Here

* the engine is killed by the kernel when its parent is gone (Linux: ``PR_SET_PDEATHSIG``),
* the shared memory loses its name once both sides hold it, so that it is freed with its last user; what an engine
  left that was killed while it started is removed by the next process,
* an engine that died is replaced, and the episode is played again up to where it was: an episode is a function of
  its seed and its actions,
* the engine's own files (``_vizdoom``) go to a temporary folder instead of the working directory.

The game's variables (``HEALTH``) are in the info of every step, that of a player's death included.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rollouts.console import extra
from rollouts.errors import UserError
from rollouts.runs.place import alive, place

T = TypeVar("T")
SHARED_MEMORY = Path("/dev/shm")
SEGMENTS = ("SM", "MQCtr", "MQDoom")  #: the kinds of shared memory of one engine, in the names of its files
STALE_S = 60.0  #: an engine that has not started by then never will
RESTARTS = 3  #: new engines for one step before the episode is given up

_running: weakref.WeakSet[SteadyDoom] = weakref.WeakSet()


def register() -> None:
    """Make ViZDoom's environments known to Gymnasium; may be called more than once.

    Raises:
        ImportError: the package vizdoom is not installed.
    """
    import vizdoom.gymnasium_wrapper  # noqa: F401 (registers the environments)


def make(env_id: str, **options: Any) -> SteadyDoom:
    """``gymnasium.make`` for ViZDoom's environments.

    Raises:
        UserError: the package vizdoom is not installed.
    """
    try:
        register()
    except ImportError as error:
        raise UserError(f"{env_id} needs ViZDoom, which is not installed here ({error}): {extra('doom')}") from error
    return SteadyDoom(env_id, options)


class SteadyDoom(gym.Wrapper[Any, Any, Any, Any]):
    """A ViZDoom environment that goes on when its engine is lost.

    Raises:
        UserError: engines keep dying.
    """

    def __init__(self, env_id: str, options: dict[str, Any]) -> None:
        self._env_id, self._options = env_id, options
        self._seed: int | None = None
        self._done: list[Any] = []
        super().__init__(self._start())
        _running.add(self)

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """That of the game: what it is made of again need not be steady."""
        return self.env.spec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        # Without a seed the engine's own would be lost with it: one is drawn here, from the wrapped generator.
        self._seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self._done = []
        frame, info = self._steadily(self._begin)
        return frame, info | self._variables()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        frame, reward, terminated, truncated, info = self._steadily(lambda: self.env.step(action), self._catch_up)
        self._done.append(action)
        return frame, reward, terminated, truncated, info | self._variables()

    def _variables(self) -> dict[str, float]:
        """The game's variables by name, as they are also when the episode is over and there is no picture."""
        game = self.env.unwrapped.game  # type: ignore[attr-defined]
        return {variable.name: game.get_game_variable(variable) for variable in game.get_available_game_variables()}

    def _start(self) -> gym.Env[Any, Any]:
        engine: dict[str, Any] = {"vizdoom_path": str(launcher())} if sys.platform == "linux" else {}
        return gym.make(self._env_id, **engine, **self._options)

    def _begin(self) -> tuple[Any, dict[str, Any]]:
        result = self.env.reset(seed=self._seed)
        forget_shared_memory(self.env.unwrapped.game.get_instance_id())  # type: ignore[attr-defined]
        return result

    def _catch_up(self) -> None:
        """Bring a new engine to where the lost one was."""
        self._begin()
        for action in self._done:
            self.env.step(action)

    def _steadily(self, work: Callable[[], T], prepare: Callable[[], object] | None = None) -> T:
        """Do it; if the engine dies, start another, ``prepare`` it, and do it there."""
        from vizdoom import ViZDoomErrorException, ViZDoomIsNotRunningException, ViZDoomUnexpectedExitException

        lost = (ViZDoomErrorException, ViZDoomIsNotRunningException, ViZDoomUnexpectedExitException)
        try:
            return work()
        except lost as error:
            reason: Exception = error
        for _ in range(RESTARTS):
            self.env.close()
            self.env = self._start()
            try:
                if prepare is not None:
                    prepare()
                return work()
            except lost as error:
                reason = error
        raise UserError(
            f"{self._env_id}: {RESTARTS + 1} engines died in one step ({reason}). Each needs 20 MB of memory and "
            f"11 MB of {SHARED_MEMORY} (in a container: --shm-size); try fewer --workers."
        ) from reason


def forget_shared_memory(instance: str) -> None:
    """Remove the names of one engine's shared memory; both sides have it open, and it goes with the last of them."""
    for kind in SEGMENTS:
        (SHARED_MEMORY / f"ViZDoom{kind}{instance}").unlink(missing_ok=True)


def sweep_shared_memory() -> None:
    """Remove what engines left that were killed while they started: an old file whose instance no process names."""
    commands = b""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            commands += process.read_bytes()
    for kind in SEGMENTS:
        for file in SHARED_MEMORY.glob(f"ViZDoom{kind}*"):
            instance = file.name.removeprefix(f"ViZDoom{kind}")
            with suppress(OSError):  # somebody else's, or gone
                if time.time() - file.stat().st_mtime > STALE_S and instance.encode() not in commands:
                    file.unlink()


@lru_cache(maxsize=1)
def launcher() -> Path:
    """A script that ViZDoom runs in the place of its engine, and that becomes the engine, in a temporary folder.

    The folder goes when this process ends; those of processes that were killed go now.
    """
    import vizdoom

    sweep_shared_memory()
    temporary = Path(tempfile.gettempdir())
    for other in temporary.glob("worldmodels-doom-*-*"):
        process, where = other.name.split("-")[2:4]
        if where == place() and process.isdigit() and not alive(int(process)) and not other.is_symlink():
            shutil.rmtree(other, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"worldmodels-doom-{os.getpid()}-{place()}-", dir=temporary))
    atexit.register(_clear, folder)
    watch, engine = Path(__file__).with_name("die_with_parent.py"), Path(vizdoom.__file__).with_name("vizdoom")
    command = shlex.join([sys.executable, "-I", "-S", str(watch), str(os.getpid()), str(engine)])
    script = folder / "engine.sh"
    script.write_text(f'#!/bin/sh\ncd {shlex.quote(str(folder))}\nexec {command} "$@"\n')
    script.chmod(0o700)
    return script


def _clear(folder: Path) -> None:
    for game in list(_running):
        game.close()
    shutil.rmtree(folder, ignore_errors=True)
