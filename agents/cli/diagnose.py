"""Diagnose: does the dream rank controllers as reality does, and which dream does so best?

worldmodels diagnose --run runs/car
worldmodels diagnose --agent pretrained/carracing_dream --out gate.json
worldmodels diagnose --run runs/car --gate.temperatures 0.5 1.0 1.5 --gate.horizons 60 120

Some two dozen perturbed controllers are dreamed, in every setting of the table, and driven in reality, on validation
seeds. A rank correlation below 0.7 says: mend M before you evolve in its dream. About two minutes for CarRacing on 2
cores. The best of many settings looks a little better than it is: the table shows them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agents.cli.options import AgentName, Command, Device, WorkerCount
from agents.cli.places import required_run
from agents.learning.gate import GateConfig
from agents.studies.trust import diagnose, markdown
from rollouts.pools.processes import default_workers
from rollouts.runs.files import write_json
from worldmodels.training.checkpoint import pick_device


@dataclass(frozen=True)
class Arguments:
    """Whose dream, and how closely to look."""

    agent: AgentName = None
    """Run directory (one with a world model is enough) or pretrained/NAME. Default: the newest run."""
    gate: GateConfig = field(default_factory=GateConfig)
    out: Path | None = None
    """Write the report here, as JSON, every return included."""
    device: Device = "auto"
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Measure, show, advise."""
    agent = arguments.agent or str(required_run())
    report = diagnose(agent, arguments.gate, arguments.workers, pick_device(arguments.device))
    print(markdown(report))
    if arguments.out is not None:
        write_json(arguments.out, report)
        print(f"Every setting's returns: {arguments.out}")


COMMAND = Command(
    __doc__,
    Arguments,
    body,
    main=(
        *("agent", "gate.controllers", "gate.dreams", "gate.episodes", "gate.temperatures", "gate.dropouts"),
        *("gate.horizons", "out", "device", "workers"),
    ),
)
