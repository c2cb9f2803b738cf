"""Restarts: several short evolutions from different seeds, of which the best one is evolved on.

Where a search ends is often decided in its first generations: one driver learns to brake, another to crawl, and none
becomes the other later on. A few tries are cheap beside a long search in a poor style.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agents.learning.config import ControllerConfig
from rollouts.console import say
from rollouts.runs.layout import Run


def tries_in(config: ControllerConfig, folder: Path) -> list[Run]:
    """Where the tries of a controller are."""
    return [Run(folder).restart(number) for number in range(config.restarts)]


def best_of_tries(config: ControllerConfig, folder: Path, try_out: Callable[[ControllerConfig, Path], Path]) -> Path:
    """The controller's folder of the try with the highest validation score; of equal ones the first.

    Args:
        folder: of the controller's run or round; the tries get folders in it, which a later command finds complete.
        try_out: evolves with these options into this folder.
    """
    tries: list[tuple[float, Path]] = []
    for number, into in enumerate(tries_in(config, folder)):
        say(f"C: try {number + 1} of {config.restarts}")
        options = replace(
            config,
            restarts=0,
            generations=config.restart_generations,
            average=min(config.average, max(config.restart_generations // 4, 1)),
            seed=config.seed + 1 + number,
            gate=0 if number and config.world == "dream" else config.gate,  # all of them begin alike
        )
        result = try_out(options, into.path)
        tries.append((into.controller.manifest["validation"], result))
    best = max(tries, key=lambda one: one[0])
    say(f"C: the tries scored {', '.join(f'{score:.1f}' for score, _ in tries)}; the best one is evolved on.")
    return best[1]
