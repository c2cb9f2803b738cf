"""The two packets that a page lives on: what it is told once, and what it is told of every moment."""

from __future__ import annotations

from typing import Any

from agents.agent import Agent
from agents.live.packets import number, numbers, pack
from agents.live.shows import Shown
from agents.viewing.human import Driver, action_names
from agents.viewing.moments import frame_rate, step_seconds, world_name
from rollouts.envs.presets import resolve


def hello(agent: Agent, driver: Driver, **more: Any) -> bytes:
    """The agent, its world, the keys, and whatever else there is to choose from."""
    spec = agent.model.action_spec
    names = action_names(agent.env, spec)
    header = {
        "world": resolve(agent.env).name,
        "title": world_name(agent.env),
        "actions": [
            {"name": name, "low": low, "high": high, "keys": pair}
            for name, low, high, pair in zip(names, spec.low, spec.high, driver.bindings, strict=True)
        ],
        "latents": agent.model.latent_size,
        "seconds": step_seconds(agent.env),
        "rate": frame_rate(agent.env),
        **more,
    }
    return pack("hello", header)


def moment_packet(shown: Shown, views: list[bytes], twins: list[bytes], tiles: list[bytes], **more: Any) -> bytes:
    """A moment, with its pictures and perhaps those beside it as JPEGs."""
    moment = shown.moment
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
        "by_hand": shown.by_hand,
        "seed": shown.seed,
        **shown.more,
        **more,
    }
    return pack("moment", header, [*views, *twins, *tiles])
