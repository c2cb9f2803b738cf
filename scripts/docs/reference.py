"""Reference rows of docs/results.md: how far blind policies come, and how far ones that read the simulator's state.

python scripts/docs/reference.py score --row car-law
python scripts/docs/reference.py score --row doom-sweep --episodes 1000
python scripts/docs/reference.py fit-law --generations 10

They say what a world allows, and so what limits an agent; no agent may know what they know. The page is then made anew
by results.py build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import tyro
from reference_car import LAW, Undrawn, drive, drive_at_random, fit
from reference_doom import Planner, Still, Sweeper, open_game, survive

from agents.cli.errors import tell_errors
from agents.cli.machine import processor
from agents.cli.options import shown
from agents.evaluation import check_seeds, report_of, save_report
from agents.records.experiments import keep
from rollouts.console import progress_bar, say
from rollouts.envs.config import EnvConfig
from rollouts.pools.processes import default_workers
from rollouts.seeds import TEST

FOLDER = Path(__file__).parents[2] / "docs" / "results"
CAR, DOOM = EnvConfig("carracing", action_repeat=4), EnvConfig("takecover")
Play = Callable[[int], tuple[float, int]]
RowName = Literal["car-still", "car-random", "car-law", "doom-still", "doom-sweep", "doom-planner"]


@dataclass(frozen=True)
class Row:
    """A policy to compare with."""

    title: str
    env: EnvConfig
    open: Callable[[], Iterator[Play]]  #: what plays a seed, while it is open
    note: str = ""


def _car(drives: Callable[[Undrawn, int], tuple[float, int]]) -> Callable[[], Iterator[Play]]:
    def play() -> Iterator[Play]:
        env = Undrawn(CAR)
        yield lambda seed: drives(env, seed)

    return play


def _doom(make: Callable[[], Still | Sweeper | Planner]) -> Callable[[], Iterator[Play]]:
    def play() -> Iterator[Play]:
        env = open_game()
        try:
            yield lambda seed: survive(make(), env, seed)
        finally:
            env.close()

    return play


DIAGNOSIS = "A diagnosis, no result: it reads the simulator's state, which no agent may."
ROWS: dict[str, Row] = {
    "car-still": Row("CarRacing, standing still", CAR, _car(lambda env, seed: drive(None, env, seed))),
    "car-random": Row("CarRacing, random actions", CAR, _car(drive_at_random), "One action in four frames."),
    "car-law": Row(
        "CarRacing, a law that reads the simulator's state (diagnosis)",
        CAR,
        _car(lambda env, seed: drive(LAW, env, seed)),
        f"{DIAGNOSIS} It aims at a point ahead and is as fast as the bends ahead let it brake in time; its "
        "coefficients were fitted on validation seeds. One action in four frames, as the drivers.",
    ),
    "doom-still": Row("Take Cover, standing still", DOOM, _doom(Still)),
    "doom-sweep": Row(
        "Take Cover, a blind sweeper from wall to wall",
        DOOM,
        _doom(lambda: Sweeper(60.0)),
        "It turns 60 units before each wall and looks at nothing; where it is, it has from the engine.",
    ),
    "doom-planner": Row(
        "Take Cover, a planner that reads the engine's objects (diagnosis)",
        DOOM,
        _doom(Planner),
        f"{DIAGNOSIS} It sees every fireball's place and speed, and tries plans of two directions over 50 tics.",
    ),
}


def score(row: RowName, episodes: int = 100, seed: int = TEST, folder: Path = FOLDER) -> None:
    """Play test seeds, and keep every return as docs/results/reference-ROW.

    Args:
        row: Which policy.
        episodes: How many seeds; fewer than 100 are shown, but are no score.
        seed: The first of them.
        folder: Where results are kept.
    """
    check_seeds(episodes, seed)
    policy, seeds = ROWS[row], range(seed, seed + episodes)
    returns, lengths = _played(policy, seeds)
    report = report_of(policy.title, policy.env, seeds, returns, lengths, {})
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "evaluation.json"
        save_report(report, path)
        machine = f"{default_workers()} cores, {processor()}"
        kept = keep(folder, f"reference-{row}", policy.title, "reference", machine, None, path, policy.note)
    say(f"{policy.title}: {report['mean']:.1f} ± {report['sd']:.1f} over {episodes} episodes. Kept: {kept}")


def _played(policy: Row, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    outcomes = []
    with contextmanager(policy.open)() as play, progress_bar(len(seeds), policy.title, "episode") as bar:
        for seed in seeds:
            outcomes.append(play(seed))
            bar.update()
            bar.set_postfix(mean=f"{np.mean([outcome[0] for outcome in outcomes]):.1f}", refresh=False)
    returns, lengths = zip(*outcomes, strict=True)
    return np.array(returns, float), np.array(lengths, np.int64)


def fit_law(generations: int = 10, episodes: int = 4, seed: int = 0) -> None:
    """Better coefficients for CarRacing's law, from those that it has, on validation seeds.

    Args:
        generations: Of CMA-ES, sixteen candidates each.
        episodes: Tracks per candidate.
        seed: Of the search.
    """
    law, _ = fit(LAW, CAR, generations, episodes, seed)
    print(law)


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"score": score, "fit-law": fit_law}
    tell_errors(lambda: tyro.extras.subcommand_cli_from_dict(commands, description=shown(__doc__)))
