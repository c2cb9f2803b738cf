"""The agent in a few lines: what it sees, remembers and weighs, and what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.records.model_card import action_repeat, pedal
from agents.reports.making import world_of
from agents.reports.markup import Content, tag
from agents.reports.reading import RunFacts, number, within
from rollouts.envs.trust import recorded_env

LIMITS = (
    "It knows this world as its package versions draw it, and nothing else: other colours, sizes or physics are "
    "outside of what V has seen.",
    "A dream is not the world: rewards predicted in it are too high where the agent leaves what M was fitted to.",
    "The last bits of every number depend on the processor and on package versions: on another machine expect the mean "
    "to agree within its interval, not every episode.",
)


def parameters(weights: Path) -> int | None:
    """How many numbers a safetensors file holds, by its header; None if that cannot be read."""
    try:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 1 << 20)))
        shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        return sum(_product(shape) for shape in shapes)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _product(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= int(side)
    return total


def section(run: RunFacts) -> list[Content]:
    """Facts and limits."""
    rows = facts(run)
    return [
        tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in rows], class_="facts"),
        tag("ul", [tag("li", limit) for limit in LIMITS], class_="lead"),
    ]


def facts(run: RunFacts) -> list[tuple[str, Content]]:
    """What is known of V, M, C and their world."""
    vae, mdnrnn, controller = (run.finished(name) for name in ("vae", "mdnrnn", "controller"))
    rows: list[tuple[str, Content]] = []
    if world := world_of(run):
        rows.append(("world", world))
    if vae is not None:
        size = number(within(vae.manifest, "architecture", "latent_size"))
        rows.append(("V", f"64 × 64 pixels to {size or 0:.0f} numbers{_weights(parameters(vae.stage.weights))}"))
        rows.append(("what V sees, as a hash", str(vae.manifest.get("observation_hash", "not said"))))
    if mdnrnn is not None:
        shape = mdnrnn.manifest.get("architecture") or {}
        core = f"{shape.get('core', 'lstm')} of {shape.get('hidden_size', '?')} units"
        core += f", {shape.get('mixtures', '?')} futures for each number of z"
        rows.append(("M", f"{core}{_weights(parameters(mdnrnn.stage.weights))}"))
    if controller is not None:
        features = ", ".join(str(within(controller.manifest, "spec", "features") or "?"))
        hidden = number(within(controller.manifest, "spec", "hidden"))
        layers = f" through {hidden:.0f} hidden units" if hidden else ""
        rows.append(("C", f"{number(controller.manifest.get('parameters')) or 0:,.0f} weights on [{features}]{layers}"))
        rows += [(name, text) for name, text in _manners(run, controller.manifest) if text]
    return rows


def _weights(count: int | None) -> str:
    return "" if count is None else f", {count:,} weights"


def _manners(run: RunFacts, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    env = run.tried(lambda: recorded_env(manifest), None)
    if env is None:
        return []
    texts = [run.tried(lambda text=text: text(env), "") for text in (action_repeat, pedal)]  # type: ignore[misc]
    bare = [text.partition("** ")[2].replace("`", "") for text in texts]
    return [("action repeat", bare[0]), ("pedal", bare[1])]
