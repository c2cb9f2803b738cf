"""The README.md of a released agent: what it is, how it was made, what it scores, and what it cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.evaluation import SCORE_EPISODES
from agents.learning.config import ControllerConfig
from agents.records.commands import commands
from agents.records.costs import Cost, costs
from agents.records.experiments import own_report
from agents.viewing.human import action_names
from rollouts.console import duration
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import reported, resolve
from rollouts.envs.trust import recorded_env
from rollouts.runs.files import read_json
from rollouts.runs.layout import Run


@dataclass(frozen=True)
class Parity:
    """What half precision changed over one episode: the released agent beside the original, on the same frames."""

    steps: int
    mean_change: float  #: of an action's components, in half-ranges
    largest_change: float


def model_card(name: str, rounds: Sequence[Path], folder: Path, parity: Parity, kept: Path | None = None) -> str:
    """The text of the card.

    Args:
        rounds: the folders that led to the agent.
        folder: the released files; their ``evaluation.json``, if there is one, is the score.
        kept: where :func:`agents.records.experiments.keep` has put the run. Its commands and costs include those of
            another run that this one began with, which the folders do not show.
    """
    if kept is None:
        command_lines, books = commands(rounds, "runs/made"), costs(rounds)
    else:
        facts = read_json(kept / "experiment.json")
        command_lines, books = facts["commands"], [Cost(**cost) for cost in facts["costs"]]
    return (
        "\n\n".join(
            (
                f"# {name}: a pretrained agent",
                _what(folder),
                _use(name),
                "## Score\n\n" + _score(name, rounds[-1], folder),
                "## How it was made\n\n" + _origins(rounds[-1], command_lines, books),
                "## Limits\n\n" + _limits(folder, parity),
            )
        )
        + "\n"
    )


def action_repeat(env: EnvConfig) -> str:
    """What action repeat is, for this environment; empty if there is none."""
    world, shipped = resolve(env), resolve(reported(env))
    if world.action_repeat == 1:
        return ""
    limit = f" of up to {shipped.max_episode_steps:,} frames" if shipped.max_episode_steps else ""
    return (
        f"**Action repeat.** The agent decides every {world.action_repeat} frames, and its action is held in between. "
        f"This is part of the agent, not of the world: scores are those of the stock `{shipped.id}`, whole episodes"
        f"{limit}, every frame's reward added up, nothing skipped. V and M see one frame per decision, so memory and "
        f"dreams reach {world.action_repeat} times as far."
    )


def pedal(env: EnvConfig) -> str:
    """What its pedals are; empty if there are none."""
    spec = resolve(env).action
    if spec is None or not spec.pedals:
        return ""
    names = action_names(env, spec)
    pairs = [f"{names[pedal.positive]} and {names[pedal.negative]}" for pedal in spec.pedals]
    return (
        f"**One pedal.** {'; '.join(pairs).capitalize()} of the action share one output of C, so that they are never "
        "done at once; see `Pedal` in `rollouts/envs/actions.py`."
    )


def _what(folder: Path) -> str:
    vae, mdnrnn, controller = (stage.manifest for stage in Run(folder).stages[1:])
    env, architecture = recorded_env(controller), mdnrnn["architecture"]
    world = resolve(reported(env)).id
    core = {"lstm": "an LSTM"}.get(name := architecture.get("core", "lstm"), f"a {name}")
    text = (
        f"A world model of `{world}` and a controller that acts on it, after Ha & Schmidhuber (2018): V, a VAE from "
        f"64×64 pixels to {vae['architecture']['latent_size']} numbers; M, {core} of {architecture['hidden_size']} "
        f"units with {architecture['mixtures']} Gaussians per latent; C, {controller['parameters']} weights on "
        f"[{', '.join(controller['spec']['features'])}]. V and M are stored at half precision."
    )
    return "\n\n".join(part for part in (text, action_repeat(env), pedal(env)) if part)


def _use(name: str) -> str:
    return (
        "```bash\n"
        f"worldmodels watch --agent pretrained/{name}\n"
        f"worldmodels watch --agent pretrained/{name} --watch.world dream --out dream.mp4\n"
        f"worldmodels evaluate --agent pretrained/{name} --out score.json\n"
        "```\n\n"
        f'From Python: `agents.Agent.load("pretrained/{name}")`, `agents.evaluate("pretrained/{name}")`.'
    )


def _score(name: str, last: Path, folder: Path) -> str:
    measured = Run(folder).evaluation
    if measured.exists():
        return f"Of these files, as `worldmodels evaluate` reproduces it.\n\n{score_table(read_json(measured))}"
    command = f"`worldmodels evaluate --agent pretrained/{name} --out agents/pretrained/{name}/evaluation.json`"
    if report := own_report(last):
        return (
            "Of the run that this agent was released from, before its weights were rounded to half precision. To score "
            f"these files: {command}, then release again.\n\n{score_table(report)}"
        )
    return f"Not measured yet. {command}, then release again."


def score_table(report: dict[str, Any]) -> str:
    """A report with every episode's return."""
    episodes, first = report["episodes"], report["episodes"][0]["seed"]
    low, high = report["interval_95_low"], report["interval_95_high"]
    kind = "" if report["is_score"] else f" (a score would be {SCORE_EPISODES})"
    returns = ", ".join(f"{episode['return']:.1f}" for episode in episodes)
    return (
        f"| `{report['environment']}`, {len(episodes)} episodes{kind} | |\n|---|---|\n"
        f"| mean ± standard deviation | **{report['mean']:.1f} ± {report['sd']:.1f}** |\n"
        f"| standard error | {report['standard_error']:.1f} |\n"
        f"| bootstrap 95 % interval of the mean | {low:.1f} to {high:.1f} |\n"
        f"| least, median, most | {report['min']:.1f}, {report['median']:.1f}, {report['max']:.1f} |\n"
        f"| versions | {versions(report['versions'])} |\n\n"
        f"Every episode's return, test seeds {first} to {first + len(episodes) - 1}: {returns}"
    )


def versions(packages: dict[str, str]) -> str:
    """``python 3.11, torch 2.13``"""
    return ", ".join(f"{name} {version}" for name, version in packages.items())


def costs_table(books: Sequence[Cost]) -> str:
    """Every stage with what it took, and the totals."""
    rows = [
        f"| {cost.round} | {cost.stage} | {cost.what} | {_count(cost.environment_steps)} | "
        f"{_count(cost.imagined_steps)} | {duration(cost.seconds) if cost.seconds else '–'} |"
        for cost in books
    ]
    real, imagined = sum(c.environment_steps for c in books), sum(c.imagined_steps for c in books)
    seconds = duration(sum(cost.seconds for cost in books))
    return "\n".join(
        (
            "| round | stage | what | environment steps | imagined steps | wall time |",
            "|---|---|---|---|---|---|",
            *rows,
            f"| | **all** | | **{_count(real)}** | **{_count(imagined)}** | **{seconds}** |",
        )
    )


def _count(steps: int) -> str:
    return f"{steps:,}" if steps else "–"


def _origins(last: Path, command_lines: Sequence[str], books: Sequence[Cost]) -> str:
    stage = Run(last).controller
    manifest, config = stage.manifest, stage.config(ControllerConfig)
    return (
        "```bash\n" + "\n".join(command_lines) + "\n```\n\n" + costs_table(books) + "\n\n"
        "Environment steps are frames of the real environment, validation included. The data are the episodes that "
        "these commands record; none come from elsewhere. C is "
        f"{_origin(manifest['selected_generation'] + 1, config.average)}, chosen by {config.validation_episodes} "
        f"validation episodes ({manifest['validation']:.1f}); neither those seeds nor any other that C was chosen by "
        f"are test seeds. Made with {versions(manifest['versions'])}."
    )


def _origin(generation: int, average: int) -> str:
    """Which weights of the last evolution are the agent; generation 0 is what it began with."""
    if generation == 0:
        return "what the last evolution began with, which nothing in it surpassed"
    count = min(average, generation)
    if count == 1:
        return f"the mean of the search distribution at generation {generation}"
    return f"the average of the search distribution's means in the {count} generations up to generation {generation}"


def _limits(folder: Path, parity: Parity) -> str:
    env = recorded_env(Run(folder).controller.manifest)
    world = resolve(reported(env)).id
    return (
        f"* It knows `{world}` as those package versions draw it, and nothing else: other colours, sizes or physics "
        "are outside of what V has seen.\n"
        f"* Half precision changed its actions over {parity.steps} decisions by {parity.mean_change:.2g} of their "
        f"half-range on average ({parity.largest_change:.2g} at most). Long episodes amplify such differences: single "
        "returns are not those of the full-precision run.\n"
        "* The last bits of every number depend on the processor and on package versions, and are amplified as well: "
        "on another machine expect the mean to agree within its interval, not every episode.\n"
        "* A dream is not the world: rewards predicted in it are too high where the agent leaves what M was fitted to."
    )
