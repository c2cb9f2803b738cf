"""The two packets that a page lives on: what it is told once, and what it is told of every moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.agent import Agent
from agents.live.packets import number, numbers, pack
from agents.viewing.human import Driver, action_names
from agents.viewing.moments import Moment, frame_rate, step_seconds
from rollouts.envs.presets import resolve
from rollouts.runs.layout import round_number


def hello(agent: Agent, driver: Driver, images: list[str], drives: str) -> bytes:
    """The agent, its world, the keys, and which image models there are."""
    spec, folder = agent.model.action_spec, agent.folder
    names = action_names(agent.env, spec)
    header = {
        "agent": f"{folder.parent.name}/{folder.name}" if round_number(folder) else folder.name,
        "world": resolve(agent.env).name,
        "actions": [
            {"name": name, "low": low, "high": high, "keys": pair}
            for name, low, high, pair in zip(names, spec.low, spec.high, driver.bindings, strict=True)
        ],
        "latents": agent.model.latent_size,
        "seconds": step_seconds(agent.env),
        "rate": frame_rate(agent.env),
        "images": images,
        "drives": drives,
    }
    return pack("hello", header)


def moment_packet(
    moment: Moment, twin: Moment | None, views: list[bytes], twins: list[bytes], tiles: list[bytes], **more: Any
) -> bytes:
    """A moment, with its pictures as JPEGs; beside a real one perhaps the ``twin`` that M dreams of it."""
    header: dict[str, Any] = {
        "step": moment.step,
        "views": len(views),
        "twins": len(twins),
        "tiles": [caption for caption, _ in moment.tiles],
        "action": numbers(moment.action),
        "z": numbers(moment.z),
        "reward": number(moment.reward),
        "total": number(moment.total),
        "surprise": number(moment.surprise),
        "end": number(moment.end),
        "over": moment.over,
        **more,
    }
    if twin is not None:
        apart = float(np.sqrt(np.square(moment.z - twin.z).mean()))
        header |= {"apart": number(apart), "dreamed_for": twin.step, "twin_over": twin.over}
    return pack("moment", header, [*views, *twins, *tiles])
