"""One record per world: crop, actions, their names and keys, exploration.

A world of one's own needs no record. To give it one, put it beside the environment, in a module that
``--env.id MODULE:NAME`` imports::

    gymnasium.register("Lighthouse-v0", Lighthouse)
    add_preset(EnvPreset("lighthouse", "Lighthouse-v0", crop=(0, 80, 0, 96), keys=(("left", "right"),)))
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rollouts.envs.actions import ActionSpec, Pedal
from rollouts.envs.config import Binding, EnvConfig, EnvPreset
from rollouts.envs.homes import home_of, import_home
from rollouts.errors import UserError
from rollouts.runs.files import fingerprint
from rollouts.runs.options import config_to_dict

# H: carracing/model.py get_action. tanh; gas = (a+1)/2; brake = clip(a, 0, 1): the zero controller drives on half gas.
_CAR_ACTION = ActionSpec("box", (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.5, 1.0), (0.0, 0.5, 0.0))

# The zero controller drives on half gas as without it; a stopped car always creeps on.
_CAR_PEDAL = Pedal(positive=1, negative=2, offset=0.55, slack=0.15, creep=0.06)

# H: doomrnn/doomreal.py. Below -1/3 MOVE_LEFT, above MOVE_RIGHT, which ViZDoom's wrapper numbers 2 and 1; 0 is nothing.
_DODGE_ACTION = ActionSpec("threshold", (-1.0,), (1.0,), (1.0,), (0.0,), choices=(2, 0, 1))

_CAR_NAMES = ("steer", "gas", "brake")
_CAR_KEYS: tuple[Binding, ...] = (("left", "right"), (None, "up"), (None, "down"))

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
            action_names=_CAR_NAMES,
            keys=_CAR_KEYS,
            make="rollouts.envs.car_steps:make",
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
            action_names=_CAR_NAMES,
            keys=_CAR_KEYS,
            make="rollouts.envs.car_steps:make",
        ),
        # As ViZDoom ships it: skill 4, 320x240, no HUD, 1 point per tic survived. docs/takecover.md shows the crop:
        # above row 72 there is only ceiling, below row 200 only floor, and nothing of a fireball but its rim.
        EnvPreset(
            "takecover",
            "VizdoomTakeCover-v1",
            kwargs=(("frame_skip", 1),),
            make="rollouts.envs.doom:make",
            crop=(72, 200, 0, 320),
            max_episode_steps=2100,
            action=_DODGE_ACTION,
            exploration="roaming",
            watch="HEALTH",
            action_names=("sidestep",),
        ),
        # As the authors' code of 2018 showed them, for their published weights: agents/weights_2018.py.
        EnvPreset(
            "carracing-2018",
            "CarRacing-v3",
            kwargs=(("lap_complete_percent", 1.0),),  # a lap then took every tile
            crop=(0, 84, 0, 96),
            max_episode_steps=1000,
            action=_CAR_ACTION,
            pedals=(_CAR_PEDAL,),
            exploration="brownian",
            action_names=_CAR_NAMES,
            keys=_CAR_KEYS,
            shrink="rollouts.envs.pixels_2018:shrink",
            make="rollouts.envs.car_steps:make",
        ),
        EnvPreset(
            "takecover-2018",
            "VizdoomTakeCover-v1",
            kwargs=(
                ("episode_start_time", 14),
                ("frame_skip", 1),
                ("render_hud", True),
                ("screen_resolution", "RES_640X480"),
            ),
            crop=(0, 400, 0, 640),  # all but the bar of indicators
            max_episode_steps=2100,
            action=_DODGE_ACTION,
            action_names=("sidestep",),
            shrink="rollouts.envs.pixels_2018:shrink",
            make="rollouts.envs.doom:make",
        ),
        EnvPreset("toy", "worldmodels/Toy-v0", max_episode_steps=50, action_names=("push",)),
    )
}


def add_preset(preset: EnvPreset) -> EnvPreset:
    """Make a world known by a name of its own; the same record may be added again.

    Raises:
        UserError: another world has that name.
    """
    if PRESETS.setdefault(preset.name, preset) != preset:
        raise UserError(f"There is a preset {preset.name!r} already, of another world; give yours another name.")
    return preset


def registered(preset: EnvPreset) -> EnvSpec | None:
    """What Gymnasium knows of a world that is registered."""
    return gym.registry.get(preset.id.partition(":")[2] or preset.id)


OPTIONS = ("crop", "size", "max_episode_steps", "action_repeat", "key", "action_low", "action_high", "watch")
"""Options that take the place of the preset's."""


def resolve(config: EnvConfig | str, imports: bool = True) -> EnvPreset:
    """The full preset that a config asks for.

    Args:
        imports: import the module that an id names, which may register a preset.

    Raises:
        UserError: an option makes no sense, or the module cannot be imported.
    """
    config = EnvConfig(config) if isinstance(config, str) else config
    if imports:
        import_home(config.id)
    preset = PRESETS.get(config.id) or PRESETS.get(config.id.partition(":")[2])
    preset = preset or EnvPreset(config.id, config.id, make=home_of(config.id).make)
    changes: dict[str, Any] = {key: value for key in OPTIONS if (value := getattr(config, key)) is not None}
    if config.render:
        changes["render"] = True
    if config.kwargs:
        changes["kwargs"] = tuple(
            sorted({**dict(preset.kwargs), **{k: _literal(v) for k, v in config.kwargs.items()}}.items())
        )
    for key in ("size", "max_episode_steps", "action_repeat"):
        if key in changes and changes[key] < 1:
            raise UserError(f"--env.{key.replace('_', '-')} must be positive, got {changes[key]}.")
    if config.crop is not None:
        top, bottom, left, right = config.crop
        if not (0 <= top < bottom and 0 <= left < right):
            given = f"{top} {bottom} {left} {right}"
            raise UserError(f"--env.crop {given} (top bottom left right) does not fit any picture.")
    if config.render and config.key is not None:
        raise UserError("--env.render observes what render() draws, --env.key an entry of the observations: give one.")
    if preset.action is not None and dict(changes.get("kwargs", ())).get("continuous") is False:
        changes["action"] = None
    if config.pedal:
        action = changes.get("action", preset.action)
        if action is None or not preset.pedals:
            raise UserError(f"--env.pedal: {config.id} has no two components of an action that one pedal could drive.")
        changes["action"] = dataclasses.replace(action, pedals=preset.pedals)
    if preset.action is not None and (config.action_low is not None or config.action_high is not None):
        raise UserError(f"{preset.name} has limits of its own for its actions; leave out --env.action-low and -high.")
    if preset.max_episode_steps is None and config.max_episode_steps is None:
        spec = registered(preset)
        changes["max_episode_steps"] = None if spec is None else spec.max_episode_steps
    return dataclasses.replace(preset, **changes)


_FIRST_OPTIONS = ("id", "kwargs", "crop", "size", "max_episode_steps", "action_repeat")


def identity(config: EnvConfig) -> str:
    """A fingerprint of the options; those that came later count where they are used, so that older runs go on."""
    options = config_to_dict(config)
    return fingerprint({k: v for k, v in options.items() if k in _FIRST_OPTIONS or v not in (None, False)})


def hint(env_id: str) -> str | None:
    """What somebody should know who calls a world by Gymnasium's name for it that has a preset here."""
    names = [preset.name for preset in PRESETS.values() if preset.id == env_id and preset.name != env_id]
    if env_id == PRESETS["carracing"].id:
        names.insert(0, "carracing-fast")
    return f"{env_id} has a preset with its crop and actions: --env.id {' or '.join(names)}" if names else None


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
