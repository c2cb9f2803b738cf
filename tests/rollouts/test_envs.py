"""Environments as image worlds: preprocessing, actions, and errors that say what to do."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from rollouts import EnvConfig, UserError, make_env
from rollouts.envs.actions import ActionSpec, natural_action
from rollouts.envs.config import EnvPreset
from rollouts.envs.image_env import preprocess
from rollouts.envs.presets import identity, reported, resolve
from rollouts.runs.files import fingerprint
from rollouts.runs.options import config_from_dict, config_to_dict


def area_weights(size: int, target: int) -> np.ndarray:
    """``[target, size]``: how much of each output pixel every input pixel covers."""
    edges = np.arange(target + 1) * size / target
    first, last = np.maximum.outer(edges[:-1], np.arange(size)), np.minimum.outer(edges[1:], np.arange(1, size + 1))
    return np.clip(last - first, 0, None) * target / size


def test_shrinking_by_two_averages_four_pixels():
    frame = np.arange(4, dtype=np.uint8)[:, None, None] * 40 + np.array([0, 4, 8, 12], np.uint8)[None, :, None]
    small = preprocess(frame.repeat(3, 2), EnvPreset("a", "a", size=2))
    assert small[:, :, 0].tolist() == [[22, 30], [102, 110]]


def test_carracing_frames_lose_the_dashboard_and_are_averaged_over_area():
    frame = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    small = preprocess(frame, resolve("carracing"))
    expected = np.einsum("ih,hwc,jw->ijc", area_weights(84, 64), frame[:84].astype(float), area_weights(96, 64))
    np.testing.assert_allclose(small, expected, atol=0.51)
    frame[84:] = 255 - frame[84:]
    assert np.array_equal(preprocess(frame, resolve("carracing")), small)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1)])
def test_grey_frames_become_rgb(shape):
    grey = np.arange(64, dtype=np.uint8).reshape(shape)
    rgb = preprocess(grey, EnvPreset("a", "a", size=8))
    assert rgb.shape == (8, 8, 3)
    assert all(np.array_equal(rgb[:, :, channel], grey.reshape(8, 8)) for channel in range(3))


def test_a_crop_keeps_top_to_bottom_and_left_to_right():
    frame = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    assert np.array_equal(preprocess(frame, EnvPreset("a", "a", crop=(2, 6, 5, 9), size=4)), frame[2:6, 5:9])


def test_any_crop_and_size_of_a_known_environment_can_be_asked_for():
    env = make_env(EnvConfig("toy", crop=(0, 48, 8, 56), size=32, max_episode_steps=3))
    frame, _ = env.reset(seed=0)
    assert frame in env.observation_space
    assert frame.shape == (32, 32, 3)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


@pytest.mark.parametrize(("value", "choice"), [(-0.4, 7), (-0.3, 5), (0.3, 5), (0.4, 9)])
def test_threshold_actions_choose_below_between_and_above_a_third(value, choice):
    spec = ActionSpec("threshold", (-1.0,), (1.0,), (1.0,), (0.0,), (7, 5, 9))
    assert spec.to_env(np.array([value], np.float32)) == choice


def test_discrete_actions_are_one_hot_outside_and_a_choice_inside():
    spec = natural_action(gym.spaces.Discrete(3, start=4), "some/Game-v0")
    assert (spec.kind, spec.size) == ("discrete", 3)
    assert [spec.to_env(row) for row in np.eye(3, dtype=np.float32)] == [4, 5, 6]


def test_an_unknown_box_is_spanned_by_its_limits():
    box = gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32))
    spec = natural_action(box, "some/Game-v0")
    assert (spec.scale, spec.offset) == ((2.0, 5.0), (0.0, 5.0))
    with pytest.raises(UserError, match=r"sets no limits .*--env\.action-low"):
        natural_action(gym.spaces.Box(-np.inf, np.inf, (2,)), "some/Game-v0")


def test_the_fast_renderer_is_the_same_world_and_another_crop_is_another():
    hashes = {name: resolve(name).observation_hash for name in ("carracing", "carracing-fast", "toy")}
    assert hashes["carracing"] == hashes["carracing-fast"] != hashes["toy"]
    for change in ({"crop": (0, 96, 0, 96)}, {"size": 32}):
        assert resolve(EnvConfig("carracing", **change)).observation_hash != hashes["carracing"]
    assert resolve(EnvConfig("carracing", max_episode_steps=10)).observation_hash == hashes["carracing"]
    assert reported(EnvConfig("carracing-fast", max_episode_steps=10)) == EnvConfig("carracing", max_episode_steps=10)


def test_keyword_arguments_are_read_as_numbers_booleans_and_words():
    words = {"lap_complete_percent": "1.0", "continuous": "false", "frames": "4", "word": "left"}
    preset = resolve(EnvConfig("carracing", kwargs=words))
    assert dict(preset.kwargs) == {"lap_complete_percent": 1.0, "continuous": False, "frames": 4, "word": "left"}
    assert preset.action is None  # the preset's own mapping is for continuous actions


def test_a_pedal_changes_what_drives_the_action_vector_and_not_the_vector():
    plain, pedal = (make_env(EnvConfig("carracing-fast", pedal=pedal_or_not)) for pedal_or_not in (False, True))
    assert (plain.action_spec.outputs, pedal.action_spec.outputs) == (3, 2)
    assert pedal.action_space == plain.action_space
    assert pedal.preset.observation_hash == plain.preset.observation_hash
    assert config_from_dict(ActionSpec, config_to_dict(pedal.action_spec)) == pedal.action_spec
    before = {key: value for key, value in config_to_dict(plain.action_spec).items() if key != "pedals"}
    assert config_from_dict(ActionSpec, before) == plain.action_spec  # as agents of before were written


def test_runs_made_before_there_were_pedals_are_still_of_the_same_world():
    before = ("id", "kwargs", "crop", "size", "max_episode_steps", "action_repeat")
    config = EnvConfig("carracing", action_repeat=4)
    assert identity(config) == fingerprint({name: getattr(config, name) for name in before})
    assert identity(EnvConfig("carracing", action_repeat=4, pedal=True)) != identity(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EnvConfig("NoSuchEnv-v0"), r"'NoSuchEnv-v0' could not be made .* Expected one of carracing, "),
        (EnvConfig("not an id!"), "could not be made"),
        (EnvConfig("toy", kwargs={"colour": "blue"}), "unexpected keyword argument 'colour'"),
        (EnvConfig("CartPole-v1"), "CartPole-v1 has no image observations.*--env.render"),
        (EnvConfig("toy", crop=(0, 65, 0, 64)), r"crop \(0, 65, 0, 64\) .* does not fit frames of \(64, 64\)"),
        (EnvConfig("toy", crop=(9, 9, 0, 64)), "does not fit"),
        (EnvConfig("toy", pedal=True), r"--env\.pedal: toy has no two components"),
        (EnvConfig("carracing", {"continuous": "false"}, pedal=True), r"--env\.pedal: carracing has no two"),
        (EnvConfig("toy", size=0), r"--env\.size must be positive, got 0"),
        (EnvConfig("toy", max_episode_steps=-1), r"--env\.max-episode-steps must be positive, got -1"),
    ],
    ids=str,
)
def test_an_environment_that_cannot_work_is_refused_in_one_sentence(config, message):
    with pytest.raises(UserError, match=message) as error:
        make_env(config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("world", ["carracing-fast", "toy"])
def test_a_repeated_action_is_the_same_world_seen_less_often(world):
    """Rewards add up to those of single steps, and every frame shown is the last of its repeats."""
    once, thrice = make_env(world), make_env(EnvConfig(world, action_repeat=3))
    frame, _ = once.reset(seed=4)
    assert (thrice.reset(seed=4)[0] == frame).all()
    rng = np.random.default_rng(0)
    for _ in range(12):
        action = rng.uniform(once.action_space.low, once.action_space.high).astype(np.float32)
        total = 0.0
        for _ in range(3):
            frame, reward, terminated, truncated, _ = once.step(action)
            total += reward
            if terminated or truncated:
                break
        seen, summed, *ends, _ = thrice.step(action)
        assert (seen == frame).all()
        assert summed == pytest.approx(total)
        assert ends == [terminated, truncated]
        if terminated or truncated:
            break


def test_an_episode_that_ends_between_repeats_shows_its_last_frame():
    """20 steps in repeats of 6: the fourth decision is cut short after 2, and its frame is drawn all the same."""
    config = EnvConfig("carracing-fast", max_episode_steps=20)
    once, repeated = make_env(config), make_env(EnvConfig("carracing-fast", max_episode_steps=20, action_repeat=6))
    assert repeated.preset.max_decisions == 4
    once.reset(seed=1)
    repeated.reset(seed=1)
    gas = np.array([0.0, 1.0, 0.0], np.float32)
    frame = [once.step(gas)[0] for _ in range(20)][-1]
    truncated = [repeated.step(gas)[3] for _ in range(3)]
    seen, _, _, at_last, _ = repeated.step(gas)
    assert truncated == [False] * 3
    assert at_last
    assert (seen == frame).all()


def test_viewers_are_called_between_the_repeats():
    env, calls = make_env(EnvConfig("toy", action_repeat=4)), []
    env.between = lambda: calls.append(1)
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape, np.float32))
    assert len(calls) == 3


def test_another_repeat_is_another_world_for_the_models():
    assert (
        resolve(EnvConfig("carracing-fast", action_repeat=4)).observation_hash
        != resolve("carracing-fast").observation_hash
    )
    assert (
        resolve(EnvConfig("carracing-fast", action_repeat=1)).observation_hash
        == resolve("carracing-fast").observation_hash
    )
