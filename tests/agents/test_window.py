"""The live window, on SDL's display that draws nowhere."""

from collections.abc import Iterator

import numpy as np
import pygame
import pytest

from agents.viewing.human import Driver
from agents.viewing.panels import Panel
from agents.viewing.window import show
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import resolve
from rollouts.errors import UserError

CAR = resolve("carracing").action


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
    show(lambda seed: endless({2: [event]}, shown), 0, fps=1000)
    assert len(shown) == 3


def test_a_display_that_nobody_sees_does_not_stand_in_the_way(monkeypatch: pytest.MonkeyPatch):
    pygame.display.quit()
    with monkeypatch.context() as earlier:  # what drew pictures in this process before there was a display
        earlier.setenv("SDL_VIDEODRIVER", "offscreen")
        pygame.display.init()
    shown: list[int] = []
    show(lambda seed: endless({1: [key(pygame.K_q)]}, shown), 0, fps=1000)
    assert len(shown) == 2


def test_space_pauses_and_goes_on():
    shown: list[int] = []
    pause = [key(pygame.K_SPACE), key(pygame.K_SPACE)]
    show(lambda seed: endless({1: pause, 4: [key(pygame.K_SPACE), key(pygame.K_q)]}, shown), 0, fps=1000)
    assert len(shown) == 5


def test_one_panel_at_a_time_and_the_next_episode():
    shown: list[int] = []
    played: list[int] = []

    def play(seed: int) -> Iterator[Panel]:
        played.append(seed)
        return endless({1: [key(pygame.K_n)], 2: [key(pygame.K_r)], 3: [key(pygame.K_q)]}, shown)

    show(play, 7, fps=1000)
    assert len(shown) == 4
    assert played == [7, 8]


def test_keys_take_over_and_let_go():
    driver, seen = Driver(EnvConfig("carracing"), CAR), []
    events = {
        1: [key(pygame.K_a), key(pygame.K_UP)],
        2: [pygame.event.Event(pygame.KEYUP, key=pygame.K_a)],
        3: [pygame.event.Event(pygame.KEYUP, key=pygame.K_UP)],
        4: [key(pygame.K_t)],
        5: [key(pygame.K_q)],
    }

    def play(seed: int) -> Iterator[Panel]:
        for panel in endless(events, []):
            yield panel
            seen.append((driver.held, driver.drives))

    show(play, 0, 1000, driver)
    assert seen == [
        (set(), False),
        ({"left", "up"}, True),
        ({"up"}, True),
        (set(), False),
        (set(), True),
    ]


def test_without_a_display_a_video_is_proposed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "no-such-driver")
    with pytest.raises(UserError, match=r"No window can be opened here.*--out"):
        show(lambda seed: iter(()), 0, fps=50)
