"""A live window for panels, where there is a display."""

from __future__ import annotations

from collections.abc import Iterable

import pygame

from agents.panels import HEIGHT, WIDTH, Panel, draw
from rollouts.errors import UserError


def show(panels: Iterable[Panel], fps: int) -> None:
    """Show panels until they end or the window is closed. Space pauses, Q or Escape closes.

    Raises:
        UserError: there is no display.
    """
    try:
        pygame.display.init()
        if pygame.display.get_driver() == "offscreen":  # what SDL falls back to: a window that nobody sees
            raise pygame.error("there is no display")
        screen = pygame.display.set_mode((WIDTH, HEIGHT))
    except pygame.error as error:
        raise UserError(f"No window can be opened here ({error}); write a video instead: --out episode.mp4") from error
    pygame.display.set_caption("worldmodels")
    clock, paused = pygame.time.Clock(), False
    for panel in panels:
        screen.blit(pygame.surfarray.make_surface(draw(panel).swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        clock.tick(fps)
        while True:
            for event in pygame.event.get():
                key = event.key if event.type == pygame.KEYDOWN else None
                if event.type == pygame.QUIT or key in (pygame.K_q, pygame.K_ESCAPE):
                    pygame.quit()
                    return
                paused ^= key == pygame.K_SPACE
            if not paused:
                break
            clock.tick(30)
    pygame.quit()
