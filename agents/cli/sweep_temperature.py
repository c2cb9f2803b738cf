"""Sweep: how hard should the dream be? The paper's table of temperatures, for any run with a world model.

worldmodels sweep-temperature --run runs/takecover --controller.generations 40
worldmodels sweep-temperature --run runs/takecover --sweep.temperatures 0.5 1.15 --controller.generations 60

At every temperature a controller is evolved in the dream alone, with the run's own options unless others are given;
the generation that real validation games prefer is then scored in 200 dreams and 200 real games. A cold dream (well
below 1) repeats what is likeliest, and C learns to live off its flaws: a high score in the dream, a poor one in
reality. A hot dream (above 1) is wilder than reality. Choose a temperature by the validation column; the real column is
the test of that choice, and no longer one if the choice is made by it.

The table is written to RUN/temperatures/temperatures.md and .json, complete up to the last finished temperature. It
can be stopped at any moment; the same command continues. --controller.dropout 0 dreams as the paper did.
"""

from __future__ import annotations

from typing import Any

from agents.cli.options import main
from agents.studies.temperatures import SweepConfig, markdown, sweep
from worldmodels.training.checkpoint import pick_device


def body(arguments: Any) -> None:
    """Evolve and score at every temperature, show the table."""
    device = pick_device(arguments.device)
    report = sweep(arguments.sweep, arguments.controller, arguments.run, arguments.workers, device)
    print(markdown(report))
    print(f"Every game's score: {report['world_model']}/temperatures/temperatures.json")


def run() -> None:
    """Parse the command line, and do it."""
    main(
        __doc__,
        body,
        ("controller",),
        extra=(("sweep", SweepConfig, SweepConfig(), "Which temperatures, and how well each is measured."),),
    )
