"""Every kind of environment is right, or is refused in one sentence before anything is recorded or trained."""

from __future__ import annotations

import importlib.util
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from agents.evaluation import evaluate, table
from rollouts import EnvConfig, UserError, make_env
from rollouts.collect import CollectConfig, collect, record_episode
from rollouts.envs.actions import natural_action
from rollouts.policies import POLICIES
from tests.rollouts import zoo

PIXELS = {"size": 12, "crop": (0, 12, 0, 12)}  # nothing is averaged


def zoo_id(animal: type) -> str:
    return f"Zoo/{animal.__name__}-v0"


@pytest.fixture
def world(request, monkeypatch):
    """Registers a class of environments for one test, and gives its id."""

    def register(maker, name="Zoo/Guest-v0", **options) -> str:
        gym.register(name, maker, **options)
        request.addfinalizer(lambda: gym.registry.pop(name, None))
        return name

    return register


@pytest.mark.parametrize("name", zoo.PICTURES)
def test_pictures_of_every_kind_are_seen_as_they_are(name, world):
    env = make_env(EnvConfig(world(zoo.PICTURES[name]), **PIXELS))
    frames = [env.reset(seed=0)[0], *(env.step(np.zeros(1, np.float32))[0] for _ in range(2))]
    for count, frame in enumerate(frames):
        assert frame.dtype == np.uint8
        assert np.array_equal(frame, zoo.picture(count)[:, :12]), count


@pytest.mark.parametrize("name", zoo.GREYS)
def test_grey_pictures_become_rgb(name, world):
    env = make_env(EnvConfig(world(zoo.GREYS[name]), **PIXELS))
    env.reset(seed=0)
    frame = env.step(np.zeros(1, np.float32))[0]
    assert frame.shape == (12, 12, 3)
    assert (frame == 10).all()


@pytest.mark.parametrize("name", zoo.NO_PICTURES)
def test_what_is_no_picture_is_refused_with_what_to_do(name, world):
    space, message = zoo.NO_PICTURES[name]
    env_id = world(lambda: zoo.Animal(space=space))
    with pytest.raises(UserError, match=message) as error:
        make_env(env_id)
    assert "\n" not in str(error.value)
    assert env_id in str(error.value)


def test_one_of_several_pictures_is_chosen_with_a_key(world):
    class Eyes(zoo.Animal):
        observation_space = zoo.TWO

        def look(self):
            return {"left": zoo.picture(1), "right": zoo.picture(self.count + 2)}

    env_id = world(Eyes)
    env = make_env(EnvConfig(env_id, key="right", **PIXELS))
    assert env.reset(seed=0)[0][0, 0].tolist() == [20, 1, 2]
    other = make_env(EnvConfig(env_id, key="left", **PIXELS))
    assert env.preset.observation_hash != other.preset.observation_hash
    with pytest.raises(UserError, match="have left, right, no middle"):
        make_env(EnvConfig(env_id, key="middle"))
    with pytest.raises(UserError, match="no dictionary"):
        make_env(EnvConfig(zoo_id(zoo.Animal), key="left"))


@pytest.mark.parametrize("name", zoo.ACTIONS)
def test_actions_of_every_kind_lie_in_their_space_and_come_back(name):
    space = zoo.ACTIONS[name]
    space.seed(0)
    spec = natural_action(space, name)
    for seed in range(50):
        policy = POLICIES["random"](seed, spec)
        vector = policy(zoo.picture(0))
        assert spec.to_env(vector) in space
        sample = space.sample()
        again = spec.to_env(spec.from_env(sample))
        np.testing.assert_allclose(again, sample, atol=1e-5)
        assert again in space


@pytest.mark.parametrize(
    "name", ["discrete", "multi-discrete 2-d", "multi-binary", "box of whole numbers", "box of bytes"]
)
def test_every_choice_can_be_reached(name):
    space, reached = zoo.ACTIONS[name], set()
    spec = natural_action(space, name)
    for seed in range(3000):
        reached.add(np.asarray(spec.to_env(POLICIES["random"](seed, spec)(zoo.picture(0)))).reshape(-1)[-1].item())
    counts = {"discrete": 3, "multi-discrete 2-d": 5, "multi-binary": 2, "box of whole numbers": 9, "box of bytes": 256}
    assert len(reached) == counts[name]


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (gym.spaces.Tuple((zoo.PUSH, zoo.PUSH)), {}, "Tuple.*not one vector.*ActionWrapper"),
        (gym.spaces.Dict({"a": zoo.PUSH}), {}, "Dict.*not one vector"),
        (gym.spaces.Text(5), {}, "not one vector"),
        (gym.spaces.Box(-1, 1, (0,), np.float32), {}, "nothing to do"),
        (gym.spaces.MultiDiscrete(np.zeros((2, 0), int)), {}, "nothing to do"),
        (gym.spaces.Discrete(10**12), {}, "has 1,000,000,000,000 discrete actions, of which at most 4,096"),
        (gym.spaces.Box(-np.inf, np.inf, (2,)), {}, "--env.action-low and --env.action-high"),
        (gym.spaces.Box(-np.inf, np.inf, (2,)), {"action_low": (-1.0,)}, "--env.action-low and --env.action-high"),
        (gym.spaces.Box(-np.inf, np.inf, (2,)), {"action_low": (1.0,), "action_high": (-1.0,)}, "do not lie within"),
        (zoo.PUSH, {"action_low": (-2.0,)}, "do not lie within"),
        (zoo.PUSH, {"action_low": (-1.0,) * 3}, "has 3 numbers; .* has 1 actions"),
        (gym.spaces.Discrete(3), {"action_low": (-1.0,)}, "are for Box actions"),
    ],
)
def test_actions_that_cannot_work_are_refused_with_what_to_do(space, options, message, world):
    with pytest.raises(UserError, match=message) as error:
        make_env(EnvConfig(world(lambda: zoo.Animal(actions=space)), **options))
    assert "\n" not in str(error.value)


def test_unbounded_actions_take_the_limits_that_are_asked_for(world):
    space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    env = make_env(EnvConfig(world(lambda: zoo.Animal(actions=space)), action_low=(-2.0,), action_high=(2.0, 4.0)))
    assert (env.action_spec.low, env.action_spec.high) == ((-2.0, -2.0), (2.0, 4.0))
    assert env.action_space == gym.spaces.Box(np.float32([-2, -2]), np.float32([2, 4]))


@pytest.mark.parametrize("animal", zoo.MISBEHAVED, ids=lambda animal: animal.__name__)
def test_misbehaviour_is_named_in_one_sentence_and_nothing_is_recorded(animal, tmp_path):
    with pytest.raises(UserError, match=zoo.MISBEHAVED[animal]) as error:
        collect(CollectConfig(3, max_steps=20), EnvConfig(zoo_id(animal)), tmp_path / "run", workers=0)
    assert "\n" not in str(error.value)
    assert zoo_id(animal) in str(error.value)
    assert not list((tmp_path).rglob("*.npz"))


def test_an_environment_that_cannot_be_closed_costs_a_sentence(capsys):
    make_env(zoo_id(zoo.NeverCloses)).close()
    assert "could not be closed: it raised RuntimeError (no window)" in capsys.readouterr().err


def test_frames_do_not_share_the_environments_buffer():
    episode = record_episode(make_env(zoo_id(zoo.Aliasing)), POLICIES["held"], "held", 0, 20)
    assert [int(frame[0, 0, 0]) for frame in episode.observations] == [10 * count for count in range(11)]


def test_an_action_is_recorded_as_it_was_chosen():
    episode = record_episode(make_env(zoo_id(zoo.Greedy)), POLICIES["random"], "random", 0, 20)
    assert (np.abs(episode.actions) <= 1).all()


def test_a_repeated_action_is_a_fresh_one_each_time():
    env = make_env(EnvConfig(zoo_id(zoo.Greedy), action_repeat=3))
    env.reset(seed=0)
    env.step(np.full(1, 0.5, np.float32))
    assert len({id(action) for action in env.unwrapped.done}) == 3


@pytest.mark.parametrize("animal", [zoo.Undrawn, zoo.BadDrawing, zoo.NothingDrawn], ids=lambda animal: animal.__name__)
def test_where_nothing_can_be_drawn_observations_are_shown(animal):
    env = make_env(zoo_id(animal), render_mode="rgb_array")
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    view = env.render()
    assert view.shape == (192, 256, 3)
    assert np.array_equal(view[::16, ::16], zoo.picture(1))


def test_what_is_drawn_is_shown_where_it_can_be():
    env = make_env(zoo_id(zoo.Animal), render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (36, 48, 3)


def test_drawings_are_observed_where_there_are_no_pictures():
    env = make_env(EnvConfig(zoo_id(zoo.Numbers), render=True, size=12, crop=(0, 12, 0, 12)))
    assert env.reset(seed=0)[0].shape == (12, 12, 3)
    assert (env.step(np.zeros(1, np.float32))[0] == (10, 1, 2)).all()
    with pytest.raises(UserError, match="draws no pictures"):
        make_env(EnvConfig(zoo_id(zoo.UndrawnNumbers), render=True))
    with pytest.raises(UserError, match=r"render\(\) gives nothing"):
        make_env(EnvConfig(zoo_id(zoo.NothingDrawn), render=True))
    with pytest.raises(UserError, match="give one"):
        make_env(EnvConfig(zoo_id(zoo.Numbers), render=True, key="image"))


def test_an_environment_that_never_ends_is_cut_and_has_no_score(monkeypatch):
    monkeypatch.setattr("rollouts.envs.image_env.UNKNOWN_LIMIT", 30)
    report = evaluate("random", 2, env=EnvConfig(zoo_id(zoo.Endless)))
    assert [episode["length"] for episode in report["episodes"]] == [30, 30]
    assert (report["cut"], report["is_score"]) == (2, False)
    assert "2 of them were cut, before they had ended, after 30 decisions" in table(report)


def test_the_environments_own_limit_is_used(world):
    env_id = world(zoo.Endless, max_episode_steps=40)
    report = evaluate("random", 100, env=EnvConfig(env_id))
    assert {episode["length"] for episode in report["episodes"]} == {40}
    assert (report["cut"], report["is_score"]) == (0, True)
    shorter = evaluate("random", 100, env=EnvConfig(env_id, max_episode_steps=20))
    assert (shorter["cut"], shorter["is_score"]) == (100, False)


def test_a_limit_that_can_only_be_guessed_never_cuts(world):
    class Counted(zoo.Animal):
        max_steps = 5  # of something else

    env = make_env(world(Counted))
    assert env.longest == (10_000, False)


def test_gymnasiums_checker_passes(recwarn):
    check_env(make_env("toy", render_mode="rgb_array"))
    check_env(make_env(zoo_id(zoo.Animal), render_mode="rgb_array"))
    assert [str(w.message) for w in recwarn if "RecordConstructorArgs" in str(w.message)] == []


@pytest.mark.parametrize("name", ["carracing-fast", "toy", "takecover"])
def test_an_environment_can_be_made_again_from_what_it_says_of_itself(name):
    if name == "takecover":
        pytest.importorskip("vizdoom", reason="ViZDoom is not installed: pip install -e '.[doom]'")
    env = make_env(name)
    again = env.spec.make()
    assert np.array_equal(env.reset(seed=1)[0], again.reset(seed=1)[0])
    env.close()
    again.close()


def test_an_id_that_only_the_main_process_knows_is_named(monkeypatch):
    monkeypatch.setattr("multiprocessing.parent_process", object)
    with pytest.raises(UserError, match=r"worker process.*MODULE:ID, or use --workers 0"):
        make_env("OnlyHere-v0")


def test_a_module_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_game.py").write_text("1 / 0\n")
    with pytest.raises(UserError, match=r"cannot be imported \(No module named 'no_such_game'\).*PYTHONPATH"):
        make_env("no_such_game:Game-v0")
    with pytest.raises(UserError, match="its module raised ZeroDivisionError"):
        make_env("broken_game:Game-v0")


@pytest.mark.parametrize(
    ("env_id", "module", "package"),
    [("ALE/Pong-v5", "ale_py", "ale-py"), ("MiniGrid-Empty-5x5-v0", "minigrid", "minigrid")],
)
def test_well_known_environments_name_the_package_they_need(env_id, module, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UserError, match=rf"{re.escape(env_id)} needs the package {package} .*pip install {package}"):
        make_env(env_id)


@pytest.mark.skipif(importlib.util.find_spec("ale_py") is None, reason="ale-py is not installed: pip install ale-py")
def test_atari_works_by_its_id():
    env = make_env("ALE/Pong-v5")
    episode = record_episode(env, POLICIES["held"], "held", 0, 20)
    assert episode.observations.shape == (21, 64, 64, 3)
    assert episode.observations.std() > 10
    assert episode.actions.shape == (20, 6)
    assert env.longest == (27_001, False)  # 108,000 frames, four a step


@pytest.mark.skipif(
    importlib.util.find_spec("minigrid") is None, reason="minigrid is not installed: pip install minigrid"
)
def test_minigrid_works_by_its_id_and_drawn():
    env = make_env("MiniGrid-Empty-5x5-v0")
    assert record_episode(env, POLICIES["held"], "held", 0, 9).observations.shape == (10, 64, 64, 3)
    drawn = make_env(EnvConfig("MiniGrid-Empty-5x5-v0", render=True))
    frame, _ = drawn.reset(seed=0)
    assert frame.std() > 10


def test_carracing_by_gymnasiums_name_points_to_the_preset(tmp_path, capsys):
    collect(CollectConfig(1, max_steps=2), EnvConfig("CarRacing-v3"), tmp_path, workers=0)
    assert "CarRacing-v3 has a preset with its crop and actions: --env.id carracing-fast" in capsys.readouterr().err
