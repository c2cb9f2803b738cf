"""How fast time goes on one page, and whether anybody looks."""

from __future__ import annotations

PAUSE_AT_END = 1.5  #: seconds for which an episode that is over stays on the page
DRAWN_PER_SECOND = 50.0  #: pictures per second that nobody needs more of


class Pace:
    """One page's clock.

    Args:
        rate: pictures per second of the world at its own speed.

    Attributes:
        speed: times the world's own.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self.speed = rate, 1.0
        self.paused = self.hidden = False

    def pause(self, on: bool) -> None:
        self.paused = on

    def hide(self, on: bool) -> None:
        """The page is in a tab that nobody sees."""
        self.hidden = on

    @property
    def every(self) -> int:
        """At high speed not all pictures are drawn, only every so many."""
        return max(1, round(self.rate * self.speed / DRAWN_PER_SECOND))

    def wait(self, seconds: float, over: bool) -> float:
        """Wall-clock seconds that a decision of so many seconds stays."""
        return seconds / self.speed + (PAUSE_AT_END if over else 0.0)
