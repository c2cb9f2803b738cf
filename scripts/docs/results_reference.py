"""What results are compared with: the targets, and the known figures of others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A generation of the paper's CarRacing evolution, scored over 1,024 episodes."""

    generation: int
    score: float
    hours: float

    @property
    def environment_steps(self) -> int:
        """At most: 64 candidates x 16 episodes of up to 1,000 steps in every generation."""
        return self.generation * 64 * 16 * 1000


_PACE = 4_029_137 / 3600 / 1800  #: hours per generation: 1,800 of them took 4,029,137 s

#: Ha & Schmidhuber (2018), hardmaru/WorldModelsExperiments, carracing/log/carracing.cma.16.64.hist_best.json.
PAPER = tuple(
    Point(generation, score, generation * _PACE)
    for generation, score in (
        (25, 822.9),
        (50, 867.5),
        (100, 867.0),
        (200, 880.4),
        (475, 891.3),
        (625, 895.4),
        (1400, 896.7),
        (1800, 900.46),
    )
)


@dataclass(frozen=True)
class Goal:
    """A section of the page: what was tried for, and the best that is known."""

    title: str
    at_least: float | None
    aim: float | None
    best_known: str
    paper: tuple[Point, ...] = PAPER  #: drawn beside our curves


#: Scores of others are as they publish them; see each source for its environment version and number of episodes.
GOALS = {
    "full": Goal(
        "From nothing, three hours on 2 cores",
        800,
        900,
        "the paper: 906 ± 21 after 46.6 days on 64 cores (`CarRacing-v0`)",
    ),
    "dream": Goal(
        "Evolved in the dream only",
        600,
        850,
        "788.6 ± 179.5, the best checkpoint of Dropout's Dream Land (Wellmer & Kwok 2021)",
        paper=(),  # it would span 2 G steps, and these curves 3 M
    ),
    "longest": Goal(
        "Longer runs, in pieces",
        880,
        916,
        "915.9, no deviation given (Flydexo, `world-models-carracing-v3`)",
    ),
    "actor": Goal(
        "A gradient learner's own actor, in the real world",
        900,
        920,
        "865 ± 159 (a public PPO, re-run by the attention agent's authors, `CarRacing-v0`); 924.6 ± 7.5 over 15 tracks "
        "by an SAC that is told its speed (UltraLamb, `CarRacing-v3`)",
        paper=(),
    ),
    "ablation": Goal(
        "What the controller sees",
        None,
        None,
        "the paper, `CarRacing-v0`: z only 632 ± 251, z with a hidden layer 788 ± 141, z and h 906 ± 21; ctallec's "
        "`world-models`: trained M 860 ± 120, untrained M 870 ± 120",
    ),
    "strategy": Goal("Evolution strategies", None, None, "none at equal budgets"),
    "takecover": Goal(
        "Take Cover, evolved in the dream only",
        750,
        1092,
        "the paper: 1,092 ± 556 (its published weights, on fresh seeds: 955 to 1,031); the record by any method: "
        "1,125 ± 589",
        paper=(),
    ),
    "reference": Goal("For comparison", None, None, ""),
}
