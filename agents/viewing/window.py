"""A live window for panels, where there is a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pygame

from agents.viewing.human import Driver
from agents.viewing.panels import HEIGHT, WIDTH, Panel, draw
from rollouts.errors import UserError

Play = Callable[[int], Iterator[Panel]]
"""``seed -> the panels of its episode``."""

HELD = {
    pygame.K_LEFT: "left", pygame.K_a: "left", pygame.K_RIGHT: "right", pygame.K_d: "right",
    pygame.K_UP: "up", pygame.K_w: "up", pygame.K_DOWN: "down", pygame.K_s: "down",
    **{pygame.K_0 + number: str(number) for number in range(1, 10)},
}  # fmt: skip


def show(play: Play, seed: int, fps: float, driver: Driver | None = None) -> None:
    """Show an episode until it ends or the window is closed; the keys are those of the live page.

    Arrows, WASD or digits take over through the ``driver``, T keeps the wheel; Space pauses, N goes one panel on, R
    begins the next seed's episode, Q or Escape closes.

    Raises:
        UserError: there is no display.
    """
    try:
        pygame.display.quit()  # somebody may have begun it before there was, or should be, a display
        pygame.display.init()
        if pygame.display.get_driver() == "offscreen":  # what SDL falls back to: a window that nobody sees
            raise pygame.error("there is no display")
        screen = pygame.display.set_mode((WIDTH, HEIGHT))
    except pygame.error as error:
        raise UserError(f"No window can be opened here ({error}); write a video instead: --out episode.mp4") from error
    pygame.display.set_caption("worldmodels")
    try:
        _run(screen, play, seed, fps, driver)
    finally:
        pygame.quit()


def _run(screen: pygame.Surface, play: Play, seed: int, fps: float, driver: Driver | None) -> None:
    clock, panels, paused = pygame.time.Clock(), play(seed), False
    while True:
        if (panel := next(panels, None)) is None:
            return
        screen.blit(pygame.surfarray.make_surface(draw(panel).swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        clock.tick(fps)
        waits = True
        while waits:
            for event in pygame.event.get():
                key = event.key if event.type == pygame.KEYDOWN else None
                if event.type == pygame.QUIT or key in (pygame.K_q, pygame.K_ESCAPE):
                    return
                if key == pygame.K_SPACE:
                    paused = not paused
                elif key == pygame.K_n:
                    paused, waits = True, False
                elif key == pygame.K_r:
                    seed += 1
                    panels, waits = play(seed), False
                elif driver is not None:
                    _steer(driver, event)
            waits &= paused
            if waits:
                clock.tick(30)


def _steer(driver: Driver, event: pygame.event.Event) -> None:
    if event.type == pygame.KEYDOWN and event.key == pygame.K_t:
        driver.keeps_wheel = not driver.keeps_wheel
    elif event.type == pygame.KEYDOWN and event.key in HELD:
        driver.held |= {HELD[event.key]}
    elif event.type == pygame.KEYUP and event.key in HELD:
        driver.held -= {HELD[event.key]}
