"""A tiny image environment with known answers, so that every stage can be tested in seconds."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

SIZE = 64
GAIN = 0.15  #: how far a full action moves the block
DRIFT = 0.06  #: how far the wind moves it each step


class ToyEnv(gym.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """Keep a block on a shelf while the wind pushes it to one side.

    The block's position is ``x`` in [-1, 1]; the wind ``w`` is -1 or +1 for a whole episode and colours the
    background (blue or red). With action ``a`` in [-1, 1]:

        x' = x + 0.15 a + 0.06 w,    reward = 1 - |x'|,    terminated = |x'| > 1.

    Doing nothing falls off after 12 to 22 steps; ``a = -0.4 w - 6 x`` (clipped) stays for ever.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium's own convention)
    observation_space = gym.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.x = 0.0
        self.wind = 1.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.x = float(self.np_random.uniform(-0.3, 0.3))
        self.wind = float(self.np_random.choice((-1.0, 1.0)))
        return self.draw(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        push = float(np.clip(np.asarray(action, np.float64).reshape(-1)[0], -1.0, 1.0))
        self.x += GAIN * push + DRIFT * self.wind
        return self.draw(), 1.0 - abs(self.x), abs(self.x) > 1.0, False, {}

    def render(self) -> NDArray[np.uint8]:
        return self.draw().repeat(4, 0).repeat(4, 1)

    def draw(self) -> NDArray[np.uint8]:
        """The frame: a white block whose edges are anti-aliased, so that ``x`` can be read off to a sub-pixel."""
        frame = np.empty((SIZE, SIZE, 3), np.uint8)
        frame[:] = (40, 60, 150) if self.wind < 0 else (150, 60, 40)
        frame[44:48] = (90, 90, 90)
        centre = SIZE / 2 + self.x * (SIZE / 2 - 6)
        cover = np.clip(6.5 - np.abs(np.arange(SIZE) + 0.5 - centre), 0.0, 1.0)[None, :, None]
        frame[32:44] = (frame[32:44] * (1 - cover) + 255 * cover).astype(np.uint8)
        return frame
