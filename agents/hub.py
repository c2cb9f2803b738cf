"""Agents as Hugging Face's libraries lay out models: ``config.json``, safetensors, a card with metadata.

The folder is an agent like any other, which all commands take. Nothing in it is unpickled or run, wherever it came
from. ``huggingface_hub`` is an extra: ``pip install '.[hub]'``.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from agents.agent import Agent
from agents.records.model_card import score_table
from rollouts.envs.presets import reported, resolve
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, read_json, replace_folder, write_json
from rollouts.runs.layout import Run
from rollouts.runs.options import config_to_dict
from worldmodels import __version__

try:
    from huggingface_hub import EvalResult, ModelCardData, ModelHubMixin, snapshot_download
except ImportError as error:
    raise UserError("Hugging Face's layout needs its package: pip install huggingface_hub") from error

LIBRARY = "worldmodels-toolkit"
CONFIG_NAME, CARD_NAME = "config.json", "README.md"  #: as the hub calls them
MODEL_TYPE = "world-model-agent"
TAGS = ["world-models", "reinforcement-learning", "deep-reinforcement-learning"]
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
FILES = ["README.md", "config.json", "evaluation.json", "*/config.json", "*/manifest.json", "*/*.safetensors"]


class HubAgent(ModelHubMixin, library_name=LIBRARY, tags=[*TAGS]):
    """An agent that can be saved to, loaded from and pushed to the hub; ``.agent`` is what acts.

    ``Agent.save_pretrained`` and ``Agent.from_pretrained`` are the short way; ``HubAgent(agent).push_to_hub("me/car")``
    uploads.
    """

    _hub_mixin_config: dict[str, Any] = {}  # noqa: RUF012  (said by _save_pretrained; the mixin need not guess it)

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write the agent; one that was saved there before is replaced. Options are those of ``ModelHubMixin``.

        Raises:
            UserError: there is something else in that folder.
        """
        folder = Path(save_directory)
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; an agent is saved to a folder.")
        if folder.is_dir() and any(folder.iterdir()) and not _is_saved_agent(folder):
            raise UserError(f"There are other things in {folder}; save the agent to a folder of its own.")
        return super().save_pretrained(folder, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        with tempfile.TemporaryDirectory(".tmp", f".{save_directory.name}.", save_directory.parent) as temporary:
            folder = self.agent.save(Path(temporary) / "agent")
            saved, report = Run(folder), _score(self.agent)
            if report is not None:
                report["controller"] = file_hash(saved.controller.weights)
                write_json(saved.evaluation, report)
            write_json(folder / CONFIG_NAME, _config(self.agent, report))
            (folder / CARD_NAME).write_text(_card(self.agent, save_directory.resolve().name, report), "utf-8")
            replace_folder(folder, save_directory)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        device: str = "cpu",
        **others: Any,
    ) -> HubAgent:
        if others:
            raise UserError(f"An agent has no option {', '.join(others)}; there is only device.")
        folder = Path(model_id)
        if not folder.is_dir():
            folder = Path(
                snapshot_download(
                    model_id,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                    allow_patterns=FILES,
                )
            )
        return cls(Agent.load(folder, device))


def _is_saved_agent(folder: Path) -> bool:
    config = folder / CONFIG_NAME
    return config.is_file() and read_json(config).get("model_type") == MODEL_TYPE


def _unchanged(agent: Agent) -> bool:
    """Whether it is the agent that its folder holds, to which the card there belongs."""
    weights = Run(agent.folder).controller.weights
    return weights.exists() and file_hash(weights) == agent.fingerprint


def _score(agent: Agent) -> dict[str, Any] | None:
    """The report that lies with the agent, if it is one of these very weights."""
    file = Run(agent.folder).evaluation
    report = read_json(file) if file.exists() else None
    return report if report is not None and report.get("controller") == agent.fingerprint else None


def _config(agent: Agent, report: dict[str, Any] | None) -> dict[str, Any]:
    """What it is, for people and programs that look before they download."""
    vae, mdnrnn = (stage.manifest["architecture"] for stage in Run(agent.folder).model)
    score = {name: report[name] for name in ("mean", "sd", "is_score")} if report else None
    return {
        "library_name": LIBRARY,
        "library_version": __version__,
        "model_type": MODEL_TYPE,
        "environment": config_to_dict(agent.env),
        "vae": vae,
        "mdnrnn": mdnrnn,
        "controller": {**config_to_dict(agent.spec), "parameters": len(agent.parameters)},
        "score": score,
    }


def _card(agent: Agent, name: str, report: dict[str, Any] | None) -> str:
    """Metadata as the hub reads it, and what a person reads: the agent's own card where it has one."""
    world = resolve(reported(agent.env)).id
    results = report and [
        EvalResult(
            task_type="reinforcement-learning",
            dataset_type=world,
            dataset_name=world,
            metric_type="mean_reward",
            metric_value=f"{report['mean']:.1f} +/- {report['sd']:.1f}",
            metric_name=f"mean return of {len(report['episodes'])} episodes",
        )
    ]
    data = ModelCardData(
        library_name=LIBRARY,
        tags=[*TAGS, world],
        pipeline_tag="reinforcement-learning",
        model_name=name,
        eval_results=results or None,
    )
    own = agent.folder / CARD_NAME
    described = own.exists() and _unchanged(agent)
    text = _FRONT_MATTER.sub("", own.read_text("utf-8")) if described else _text(agent, name, world, report)
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def _text(agent: Agent, name: str, world: str, report: dict[str, Any] | None) -> str:
    features = ", ".join(agent.spec.features)
    score = score_table(report) if report else "Not measured yet: `worldmodels evaluate --agent FOLDER --out FILE`."
    return (
        f"# {name}\n\nA world model of `{world}` and a controller of {len(agent.parameters):,} weights on [{features}] "
        "that acts on it, after Ha & Schmidhuber (2018).\n\n"
        "```python\nfrom agents import Agent, evaluate\n\n"
        'agent = Agent.from_pretrained("FOLDER or OWNER/NAME")\nevaluate(agent, episodes=100)\n```\n\n'
        f"## Score\n\n{score}\n"
    )

