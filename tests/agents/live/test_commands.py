"""What a page may say, and that nothing else is listened to."""

import json

import pytest

from agents.live.commands import COMMANDS, Command, parse

GOOD = {
    "scene": {"name": "dream"},
    "keys": {"held": ["left", "up"]},
    "wheel": {"on": True},
    "pause": {"on": False},
    "hide": {"on": True},
    "step": {},
    "restart": {"start": "captured", "capture": 3},
    "temperature": {"value": 1.15},
    "speed": {"value": 2},
    "horizon": {"value": 100},
    "wake": {},
    "capture": {},
    "forget": {"capture": 0},
    "fan": {},
    "guess": {},
    "nightmares": {},
    "scan": {},
    "episodes": {},
    "episode_play": {"store": "driven", "seed": 1_500_000_000},
    "episode_delete": {"seed": 1_500_000_000},
    "episode_export": {"store": "recorded", "seed": 0, "format": "gif"},
    "episode_measure": {},
    "record": {"on": True},
    "clip": {"format": "gif", "seconds": 4},
    "latent": {"z": [0.5, -1]},
    "look": {"capture": 1},
    "between": {"first": 0, "second": 1, "share": 0.25},
    "walk": {"z": [0, 0]},
    "image_run": {"name": "digits"},
    "image_grid": {"seed": 1, "truncation": 2.0, "label": -1},
    "image_path": {"first": 0, "second": 59},
    "image_attributes": {"item": 4, "strengths": [0.5]},
}


def test_every_command_has_an_example_here():
    assert GOOD.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_whole_command_is_understood(name: str):
    command = parse(json.dumps({"do": name, **GOOD[name]}))
    assert isinstance(command, Command)
    assert (command.name, command.arguments.keys()) == (name, GOOD[name].keys())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_with_more_or_less_than_it_takes_is_ignored(name: str):
    assert parse(json.dumps({"do": name, **GOOD[name], "more": 1})) is None
    for left_out in GOOD[name]:
        assert parse(json.dumps({"do": name, **{k: v for k, v in GOOD[name].items() if k != left_out}})) is None


@pytest.mark.parametrize(
    "message",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "3",
        '"step"',
        "{}",
        '{"do": 3}',
        '{"do": ["step"]}',
        '{"do": "quit"}',
        '{"do": "__init__"}',
        b"\xff\xfe\x00",
        '{"do": "temperature", "value": NaN}',
        '{"do": "temperature", "value": Infinity}',
        '{"do": "temperature", "value": "1"}',
        '{"do": "temperature", "value": true}',
        '{"do": "temperature", "value": 1e999}',
        f'{{"do": "temperature", "value": {10**400}}}',
        '{"do": "horizon", "value": 1.5}',
        '{"do": "horizon", "value": 0}',
        '{"do": "horizon", "value": 100000000000000000000}',
        '{"do": "scene", "name": "nowhere"}',
        '{"do": "scene", "name": ["real"]}',
        '{"do": "keys", "held": "left"}',
        '{"do": "keys", "held": [1]}',
        '{"do": "pause", "on": 1}',
        '{"do": "clip", "format": "exe", "seconds": 3}',
        json.dumps({"do": "latent", "z": [0.0] * 5000}),
        json.dumps({"do": "image_run", "name": "x" * 300}),
        "[" * 100_000,
        '{"a":' * 5_000,
    ],
    ids=lambda message: str(message)[:40],
)
def test_anything_else_is_ignored(message: str | bytes):
    assert parse(message) is None


def test_numbers_are_kept_within_their_limits():
    hot = parse('{"do": "temperature", "value": 1e300}')
    cold = parse('{"do": "temperature", "value": -5}')
    assert hot is not None and hot.arguments == {"value": 3.0}  # noqa: PT018
    assert cold is not None and cold.arguments == {"value": 0.0}  # noqa: PT018


def test_unknown_keys_are_let_go():
    command = parse('{"do": "keys", "held": ["left", "Escape", "left"]}')
    assert command is not None
    assert command.arguments == {"held": {"left"}}
