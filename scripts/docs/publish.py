"""Publish: put a finished run's figures into docs/NAME and into the README, so that no number there is typed by hand.

python scripts/docs/publish.py --agent runs/quickstart --name quickstart
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from readme import rewrite_readme

from agents.agent import Agent
from agents.cli.options import AgentName, Command, WorkerCount
from agents.cli.places import default_agent
from agents.evaluation import evaluate, save_report
from agents.records.experiments import own_report
from agents.viewing.panels import draw
from agents.viewing.video import write_video
from agents.viewing.watch import WatchConfig, panels
from rollouts.console import command
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import resolve
from rollouts.errors import UserError
from rollouts.pools.pool import Workers
from rollouts.pools.processes import default_workers
from rollouts.runs.files import read_json
from rollouts.runs.layout import Run
from worldmodels.diagnostics import STRIP_HORIZONS
from worldmodels.pictures import save_png

ROOT = Path(__file__).parents[2]
CLIP = slice(15, 75)  #: panels of the published animations: 5 seconds, after the opening zoom


@dataclass(frozen=True)
class Arguments:
    """Whose figures, and where they go."""

    agent: AgentName = None
    """Run directory. Default: the newest run, or the pretrained agent."""
    seed: int = 3
    """Which episode, and which dream, to show."""
    name: str = "quickstart"
    """Folder under docs/, and section of the README."""
    workers: WorkerCount = field(default_factory=default_workers)


def body(arguments: Arguments) -> None:
    """Gather evaluation, diagnostics and pictures, then rewrite the README's section."""
    name, agent = arguments.name, Agent.load(arguments.agent or default_agent())
    folder, docs = agent.folder, ROOT / "docs" / arguments.name
    run = Run(folder)
    sources = [run.evaluation, run.mdnrnn.diagnostics, run.mdnrnn.picture("dream"), run.vae.picture("reconstructions")]
    if (report := own_report(folder)) is None:
        raise UserError(
            f"{folder} was not evaluated yet: {command('evaluate', '--agent', folder, '--out', sources[0])}"
        )
    if missing := [str(source) for source in sources if not source.exists()]:
        raise UserError(
            f"What is published of a run is not there: {', '.join(missing)}. A released agent has none of it."
        )
    docs.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copyfile(source, docs / source.name)
    random = random_report(docs / "random.json", report, agent.env, arguments.workers)
    for config, file in (
        (WatchConfig(seed=arguments.seed, every=4), "driving"),
        (WatchConfig("dream", arguments.seed, every=4), "dreaming"),
    ):
        pictures = [draw(panel) for panel in islice(panels(agent, config), CLIP.start, CLIP.stop)]
        if not pictures:
            pictures = [draw(panel) for panel in panels(agent, dataclasses.replace(config, every=1))]
        save_png(pictures[len(pictures) // 2], docs / f"{file}.png")
        write_video(pictures, docs / f"{file}.gif", 12)
    facts = read_json(docs / "diagnostics.json")
    rewrite_readme(name, _section(name, report, random, facts, resolve(agent.env).action_repeat))


def random_report(path: Path, report: dict[str, Any], env: EnvConfig, workers: Workers) -> dict[str, Any]:
    """The random policy in the environment of a report, over as many episodes; measured if it was not yet."""
    last_report: dict[str, Any] = read_json(path) if path.exists() else {"env": None}
    if last_report["env"] != report["env"] or len(last_report["episodes"]) != len(report["episodes"]):
        save_report(evaluate("random", len(report["episodes"]), workers=workers, env=env), path)
    return read_json(path)


def _section(name: str, report: dict[str, Any], random: dict[str, Any], facts: dict[str, Any], repeat: int) -> str:
    """The README's paragraph about a run."""
    frames = f" of {repeat} frames" if repeat > 1 else ""
    count, returns = len(report["episodes"]), facts["window_return"]
    free = f" ({returns['free_running_r2']:.2f} when running free)" if returns["free_running_r2"] is not None else ""
    kind = "score" if report["is_score"] else f"{count} episodes; a score would be 100"

    def row(who: str, values: dict[str, Any]) -> str:
        low, high = values["interval_95_low"], values["interval_95_high"]
        return f"| {who} | {values['mean']:.0f} ± {values['sd']:.0f} | {low:.0f} to {high:.0f} |"

    return "\n".join(
        (
            f"| on stock `{report['environment']}` ({kind}) | mean ± sd | 95 % interval of the mean |",
            "|---|---|---|",
            row("random policy", random),
            row("the agent", report),
            "",
            f"![Reality, what V makes of it, and M's free-running dream](docs/{name}/dream.png)",
            "",
            "What happened, V's reconstruction of it, and M's dream of it, given only the actions: up to "
            f"{STRIP_HORIZONS[-1]} decisions{frames}. On episodes that it never saw, M's predicted return over "
            f"{returns['window']} decisions has R² = {returns['teacher_forced_r2']:.2f}{free}.",
        )
    )


COMMAND = Command(__doc__, Arguments, body, main=("agent", "seed", "name", "workers"))

if __name__ == "__main__":
    COMMAND()
