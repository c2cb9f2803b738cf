"""Publish: put a finished run's figures into docs/NAME and into the README, so that no number there is typed by hand.

python scripts/publish.py --agent runs/quickstart --name quickstart
"""

from __future__ import annotations

import dataclasses
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

from cli import default_agent, main
from readme import rewrite_readme

from agents.agent import Agent
from agents.evaluation import evaluate, save_report
from agents.panels import draw
from agents.video import write_video
from agents.watch import WatchConfig, panels
from rollouts.artifacts import read_json
from rollouts.envs import resolve
from rollouts.errors import UserError
from worldmodels.diagnostics import STRIP_HORIZONS
from worldmodels.pictures import save_png

ROOT = Path(__file__).parent.parent
CLIP = slice(15, 75)  #: panels of the published animations: 5 seconds, after the opening zoom


def body(arguments: Any) -> None:
    """Gather evaluation, diagnostics and pictures, then rewrite the README's section."""
    name, agent = arguments.name, Agent.load(arguments.agent or default_agent())
    folder, docs = agent.folder, ROOT / "docs" / arguments.name
    score = folder / "evaluation.json"
    if not score.exists():
        raise UserError(f"{folder} was not evaluated yet: python scripts/evaluate.py --agent {folder} --out {score}")
    docs.mkdir(parents=True, exist_ok=True)
    for source, target in (
        (score, "evaluation.json"),
        (folder / "mdnrnn" / "diagnostics.json", "diagnostics.json"),
        (folder / "mdnrnn" / "dream.png", "dream.png"),
        (folder / "vae" / "reconstructions.png", "reconstructions.png"),
    ):
        shutil.copyfile(source, docs / target)
    report = read_json(score)
    if not (docs / "random.json").exists():
        save_report(
            evaluate("random", len(report["episodes"]), workers=arguments.workers, env=agent.env), docs / "random.json"
        )
    for config, file in (
        (WatchConfig(seed=arguments.seed, every=4), "driving"),
        (WatchConfig("dream", arguments.seed, every=4), "dreaming"),
    ):
        pictures = [draw(panel) for panel in islice(panels(agent, config), CLIP.start, CLIP.stop)]
        if not pictures:
            pictures = [draw(panel) for panel in panels(agent, dataclasses.replace(config, every=1))]
        save_png(pictures[len(pictures) // 2], docs / f"{file}.png")
        write_video(pictures, docs / f"{file}.gif", 12)
    random, facts = read_json(docs / "random.json"), read_json(docs / "diagnostics.json")
    rewrite_readme(name, _section(name, report, random, facts, resolve(agent.env).action_repeat))


def _section(name: str, report: dict[str, Any], random: dict[str, Any], facts: dict[str, Any], repeat: int) -> str:
    """The README's paragraph about a run."""
    *columns, last = STRIP_HORIZONS
    frames = f" of {repeat} frames" if repeat > 1 else ""
    count, returns = len(report["episodes"]), facts["window_return"]
    free = f", {returns['free_running_r2']:.2f} when running free" if returns["free_running_r2"] is not None else ""
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
            "Above, from top to bottom: what happened, V's reconstruction of it, and M's dream of it, given only the "
            f"actions. The columns are {', '.join(map(str, columns))} and {last} decisions{frames} into the dream. On "
            f"episodes it never saw, M's predicted return over windows of {returns['window']} decisions explains the "
            f"actual one with R² = {returns['teacher_forced_r2']:.2f} when fed with reality{free} "
            f"(0 would be a constant). Files: [docs/{name}](docs/{name}).",
        )
    )


if __name__ == "__main__":
    main(
        __doc__,
        body,
        extra=(
            ("agent", str | None, None, "Run directory. Default: the newest run, or the pretrained agent."),
            ("seed", int, 3, "Which episode, and which dream, to show."),
            ("name", str, "quickstart", "Folder under docs/, and section of the README."),
        ),
        needs_run=False,
    )
