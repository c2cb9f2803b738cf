"""Compare: what does C need to see, and what is the best way to evolve it? The paper's ablation, and more.

worldmodels compare --run runs/car --controller.rollouts 4 --controller.generations 40
worldmodels compare --run runs/car --compare.variants zh z untrained --controller.generations 60

Every variant differs in one thing from a linear controller on [z, h]: what it sees (z, z-hidden, zch), an M that was
never trained (untrained), the strategy (principal, sep-cma, pgpe), what it is told (ranked), or how a generation's
episodes are spent (more-rollouts, more-candidates). All are evolved from zero in the real world, with the run's own
options unless others are given, and scored on 100 episodes of the stock environment.

The table is written to RUN/comparison/comparison.md and .json, complete up to the last finished variant. It can be
stopped at any moment; the same command continues.
"""

from __future__ import annotations

from typing import Any

from agents.cli.options import main
from agents.studies.comparison import CompareConfig, compare, markdown
from worldmodels.training.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Evolve and score every variant, show the table."""
    device = pick_device(arguments.device)
    report = compare(arguments.compare, arguments.controller, arguments.run, arguments.workers, device)
    print(markdown(report))


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        ("controller",),
        extra=(("compare", CompareConfig, CompareConfig(), "Which variants, and how well each is measured."),),
    )
