"""One record per world: crop, actions, exploration."""

from __future__ import annotations

import dataclasses
from typing import Any

from rollouts.envs.actions import ActionSpec, Pedal
from rollouts.envs.config import EnvConfig, EnvPreset
from rollouts.errors import UserError
from rollouts.runs.files import fingerprint
from rollouts.runs.options import config_to_dict

# H: carracing/model.py get_action. tanh; gas = (a+1)/2; brake = clip(a, 0, 1): the zero controller drives on half gas.
_CAR_ACTION = ActionSpec("box", (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.5, 1.0), (0.0, 0.5, 0.0))

# The zero controller drives on half gas as without it; a stopped car always creeps on.
_CAR_PEDAL = Pedal(positive=1, negative=2, offset=0.55, slack=0.15, creep=0.06)

# H: doomrnn/doomreal.py. Below -1/3 MOVE_LEFT, above MOVE_RIGHT, which ViZDoom's wrapper numbers 2 and 1; 0 is nothing.
_DODGE_ACTION = ActionSpec("threshold", (-1.0,), (1.0,), (1.0,), (0.0,), choices=(2, 0, 1))

PRESETS: dict[str, EnvPreset] = {
    preset.name: preset
    for preset in (
        # Rows 84-95 are the dashboard, whose drawing differs between Gymnasium versions; the paper cuts it off too.
        EnvPreset(
            "carracing",
            "CarRacing-v3",
            crop=(0, 84, 0, 96),
            max_episode_steps=1000,
            action=_CAR_ACTION,
            pedals=(_CAR_PEDAL,),
            exploration="brownian",
        ),
        EnvPreset(
            "carracing-fast",
            "worldmodels/FastCarRacing-v3",
            crop=(0, 84, 0, 96),
            max_episode_steps=1000,
            action=_CAR_ACTION,
            pedals=(_CAR_PEDAL,),
            exploration="brownian",
            reported_on="carracing",
        ),
        # As ViZDoom ships it: skill 4, 320x240, no HUD, 1 point per tic survived. docs/takecover.md shows the crop:
        # above row 72 there is only ceiling, below row 200 only floor, and nothing of a fireball but its rim.
        EnvPreset(
            "takecover",
            "VizdoomTakeCover-v1",
            kwargs=(("frame_skip", 1),),
            crop=(72, 200, 0, 320),
            max_episode_steps=2100,
            action=_DODGE_ACTION,
            exploration="held",
        ),
        EnvPreset("toy", "worldmodels/Toy-v0", max_episode_steps=50),
    )
}


def resolve(config: EnvConfig | str) -> EnvPreset:
    """The full preset that a config asks for.

    Raises:
        UserError: an option makes no sense.
    """
    config = EnvConfig(config) if isinstance(config, str) else config
    preset = PRESETS.get(config.id) or EnvPreset(config.id, config.id)
    options = ("crop", "size", "max_episode_steps", "action_repeat")
    changes: dict[str, Any] = {key: value for key in options if (value := getattr(config, key)) is not None}
    if config.kwargs:
        changes["kwargs"] = tuple(
            sorted({**dict(preset.kwargs), **{k: _literal(v) for k, v in config.kwargs.items()}}.items())
        )
    for key in ("size", "max_episode_steps", "action_repeat"):
        if key in changes and changes[key] < 1:
            raise UserError(f"--env.{key.replace('_', '-')} must be positive, got {changes[key]}.")
    if preset.action is not None and dict(changes.get("kwargs", ())).get("continuous") is False:
        changes["action"] = None
    if config.pedal:
        action = changes.get("action", preset.action)
        if action is None or not preset.pedals:
            raise UserError(f"--env.pedal: {config.id} has no two components of an action that one pedal could drive.")
        changes["action"] = dataclasses.replace(action, pedals=preset.pedals)
    return dataclasses.replace(preset, **changes)


def identity(config: EnvConfig) -> str:
    """A fingerprint of the options; those that came later count where they are used, so that older runs go on."""
    options = config_to_dict(config)
    if not config.pedal:
        del options["pedal"]
    return fingerprint(options)


def reported(config: EnvConfig) -> EnvConfig:
    """The same world as its authors ship it, on which scores are reported."""
    return dataclasses.replace(config, id=resolve(config).reported_on or config.id)


def faster(config: EnvConfig) -> EnvConfig:
    """The same world from a twin that draws faster, where it has one: to look at, not to report scores on."""
    name = resolve(config).name
    twins = (preset.name for preset in PRESETS.values() if preset.reported_on == name)
    return dataclasses.replace(config, id=next(twins, config.id))


def _literal(text: str) -> Any:
    """``'1.0' -> 1.0``, ``'false' -> False``: values for keyword arguments typed on a command line."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
