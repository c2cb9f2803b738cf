"""The live window, on SDL's display that draws nowhere."""

from collections.abc import Iterator

import numpy as np
import pygame
import pytest

from agents.panels import Panel
from agents.window import show
from rollouts.errors import UserError


def endless(events: dict[int, list[pygame.event.Event]], shown: list[int]) -> Iterator[Panel]:
    """Panels without end; before panel n, events[n] happen."""
    frame = np.zeros((64, 64, 3), np.uint8)
    while True:
        for event in events.get(len(shown), []):
            pygame.event.post(event)
        shown.append(len(shown))
        yield Panel("title", "status", frame, [("tile", frame)], [])


def key(code: int) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN, key=code)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.mark.parametrize("event", [key(pygame.K_q), key(pygame.K_ESCAPE), pygame.event.Event(pygame.QUIT)])
def test_the_window_closes_when_told(event: pygame.event.Event):
    shown: list[int] = []
    show(endless({2: [event]}, shown), fps=1000)
    assert len(shown) == 3


def test_space_pauses_and_goes_on():
    shown: list[int] = []
    pause = [key(pygame.K_SPACE), key(pygame.K_SPACE)]
    show(endless({1: pause, 4: [key(pygame.K_SPACE), key(pygame.K_q)]}, shown), fps=1000)
    assert len(shown) == 5


def test_without_a_display_a_video_is_proposed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "no-such-driver")
    with pytest.raises(UserError, match=r"No window can be opened here.*--out"):
        show(iter(()), fps=50)
