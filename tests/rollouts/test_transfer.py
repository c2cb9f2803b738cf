"""Episodes from elsewhere and for elsewhere: what goes out comes back, and what is broken is named."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import fields
from pathlib import Path

import av
import gymnasium as gym
import numpy as np
import pytest
import torch

from rollouts import EnvConfig, Episode, EpisodeStore, UserError
from rollouts.collect import CollectConfig, collect
from rollouts.envs.actions import ActionSpec
from rollouts.runs.stage import Stage
from rollouts.seeds import collection_seed
from rollouts.transfer.exports import export_data_set, export_videos
from rollouts.transfer.imports import import_episodes
from rollouts.transfer.sources import open_source
from rollouts.transfer.videos import write_mp4
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.data.lineage import require_transitions
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import fit_vae

needs_minari = pytest.mark.skipif(
    importlib.util.find_spec("minari") is None, reason="minari is not installed: pip install 'minari[hdf5]'"
)
TOY = EnvConfig("toy")
BLACK = np.zeros((3, 64, 64, 3), np.uint8)
CTALLEC = {"observations": BLACK, "actions": np.zeros((3, 3)), "rewards": np.zeros(3), "terminals": np.zeros(3, bool)}
TOY_ACTION = ActionSpec("box", (-1.0,), (1.0,), (1.0,), (0.0,))
UNKNOWN = EnvConfig("Nowhere-v0")
ELSEWHERE = EnvConfig("")


@pytest.fixture
def store(toy_episodes: list[Episode], tmp_path: Path) -> EpisodeStore:
    """Four of them, with seeds for collected episodes."""
    store = EpisodeStore(tmp_path / "elsewhere")
    for index, episode in enumerate(toy_episodes[:4]):
        store.append(Episode(**{**vars(episode), "seed": collection_seed(0, index)}))
    return store


def same(one: Episode, other: Episode, but: tuple[str, ...] = ("policy",)) -> bool:
    names = [field.name for field in fields(Episode) if field.name not in but]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_episodes_of_ones_own_code_become_a_runs(store: EpisodeStore, tmp_path: Path):
    run = tmp_path / "run"
    imported = import_episodes(open_source(str(store.path)), run, TOY)
    assert all(same(one, other) for one, other in zip(store, imported, strict=True))
    assert len(imported) == 4
    manifest = Stage(run, "rollouts").manifest
    assert (manifest["complete"], manifest["episodes"], manifest["env"]["id"]) == (True, 4, "toy")
    fit_vae(VAEConfig(latent_size=4, steps=2, batch_size=8), run, [imported], torch.device("cpu"))
    again = import_episodes(open_source(str(store.path)), run, TOY)
    assert len(again) == 4


def test_episodes_that_lie_in_the_run_need_only_be_checked(store: EpisodeStore, tmp_path: Path):
    run = tmp_path / "run"
    (run / "rollouts").mkdir(parents=True)
    store.path.rename(run / "rollouts" / "episodes")
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*.npz")}
    import_episodes(open_source(str(run / "rollouts" / "episodes")), run, TOY)
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*.npz")} == before
    assert Stage(run, "rollouts").complete


def test_collecting_goes_on_with_what_was_imported(store: EpisodeStore, tmp_path: Path):
    run = tmp_path / "run"
    import_episodes(open_source(str(store.path)), run, TOY)
    assert len(collect(CollectConfig(50), TOY, run, 0)) == 4
    with pytest.raises(UserError, match="imported as those of toy, not carracing"):
        collect(CollectConfig(50), EnvConfig("carracing"), run, 0)


def test_test_seeds_are_numbered_anew(toy_episodes: list[Episode], tmp_path: Path):
    store = EpisodeStore(tmp_path / "elsewhere")
    for episode in toy_episodes[:3]:
        store.append(episode)  # seeds 0, 1, 2
    imported = import_episodes(open_source(str(store.path)), tmp_path / "run", TOY)
    assert imported.seeds() == [collection_seed(0, index) for index in range(3)]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda store: store.files[1].write_bytes(b"no"), r"000001\.npz: it is no \.npz archive"),
        (lambda store: store.files[1].rename(store.file(5)), "is the episode of seed 2000000001, under another name"),
        (lambda store: _rewrite(store.files[1], rewards=np.array([np.nan] * 5)), "expected"),
        (lambda store: _rewrite(store.files[1], actions=np.full((1, 1), 3, np.float32)), "expected T"),
        (lambda store: _act(store, 1, 3.0), r"not within \(-1.0,\) to \(1.0,\)"),
    ],
)
def test_a_broken_episode_is_named_and_left_out_only_if_asked(break_it, message, store: EpisodeStore, tmp_path: Path):
    break_it(store)
    source = open_source(str(store.path))
    with pytest.raises(UserError, match=f"1 of 4 episodes cannot be imported .*{message}") as error:
        import_episodes(source, tmp_path / "run", TOY)
    assert "\n" not in str(error.value)
    assert not Stage(tmp_path / "run", "rollouts").complete
    assert len(import_episodes(source, tmp_path / "run", TOY, skip_broken=True)) == 3


def _rewrite(file: Path, **changes: np.ndarray) -> None:
    with np.load(file) as data:
        arrays = dict(data)
    np.savez(file, **(arrays | changes))


def _act(store: EpisodeStore, index: int, action: float) -> None:
    with np.load(store.files[index]) as data:
        _rewrite(store.files[index], actions=np.full_like(data["actions"], action))


def test_ctallecs_frames_come_after_their_actions_and_show_the_dashboard(tmp_path: Path):
    """Frame t is what action t led to: the first action is lost, and so is its reward."""
    steps, rng = 6, np.random.default_rng(0)
    frames = np.zeros((steps, 64, 64, 3), np.uint8)
    frames[:] = 10 * np.arange(steps)[:, None, None, None]
    frames[:, 57:] = 255  # the dashboard, rows 84 to 95 of 96
    actions = rng.uniform([-1, 0, 0], [1, 1, 1], (1000, 3))  # drawn in advance
    rewards = np.arange(steps) * 1.0
    (tmp_path / "thread_0").mkdir()
    arrays = {"observations": frames, "rewards": rewards, "actions": actions}
    np.savez(tmp_path / "thread_0" / "rollout_0", **arrays, terminals=np.arange(steps) == steps - 1)
    episode = next(iter(import_episodes(open_source(str(tmp_path)), tmp_path / "run", ELSEWHERE)))
    assert len(episode) == 5
    assert np.allclose(episode.actions, actions[1:6], atol=1e-6)
    assert episode.rewards.tolist() == [1, 2, 3, 4, 5]
    assert episode.terminated.tolist() == [False] * 4 + [True]
    assert [int(frame[20, 20, 0]) for frame in episode.observations] == [0, 10, 20, 30, 40, 50]
    assert episode.observations.max() < 100  # cropped away
    assert Stage(tmp_path / "run", "rollouts").manifest["env"]["id"] == "carracing"


def test_ctallecs_episode_of_full_length_was_cut_by_the_clock(tmp_path: Path):
    frames = np.zeros((1000, 4, 4, 3), np.uint8)
    arrays = {"observations": frames, "rewards": np.zeros(1000), "actions": np.zeros((1000, 3))}
    np.savez(tmp_path / "rollout_0", **arrays, terminals=np.arange(1000) == 999)
    episode = next(iter(import_episodes(open_source(str(tmp_path)), tmp_path / "run", ELSEWHERE)))
    assert (episode.terminated[-1], episode.truncated[-1]) == (False, True)


def test_hardmarus_frames_lose_what_his_resizing_did_to_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(0)
    plain = rng.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    his = ((1.0 - (plain / 1.0)) * 255).round().astype(np.int64).astype(np.uint8)  # x -> (1 - x) 255, modulo 256
    assert np.array_equal(his, plain - np.uint8(1))
    actions = rng.uniform([-1, 0, 0], [1, 1, 1], (5, 3)).astype(np.float16)
    np.savez_compressed(tmp_path / "123", obs=his, action=actions)
    run = tmp_path / "run"
    store = import_episodes(open_source(str(tmp_path)), run, ELSEWHERE)
    episode = next(iter(store))
    assert np.array_equal(episode.observations, plain)
    assert np.allclose(episode.actions, actions[:4])
    assert (len(episode), episode.total_reward, episode.truncated[-1]) == (4, 0, True)
    assert "no rewards: fit M with --mdnrnn.no-reward-head" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"without rewards.*--mdnrnn\.no-reward-head"):
        require_transitions([store], reward_head=True)
    require_transitions([store], reward_head=False)


def film(path: Path, count: int = 6, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames of one colour each."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[:] = 40 * np.arange(count)[:, None, None, None]
    write_mp4(iter(frames), path, 10, crf=1)
    return frames


def test_videos_alone_are_for_v(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a.mp4", "b.mp4"):
        film(tmp_path / name)
    (tmp_path / "._a.mp4").write_bytes(b"macOS")
    run = tmp_path / "run"
    store = import_episodes(open_source(str(tmp_path)), run, UNKNOWN)
    episodes = list(store)
    assert [episode.observations.shape for episode in episodes] == [(6, 64, 64, 3)] * 2
    assert np.abs(episodes[0].observations[:, 5, 5, 0].astype(int) - 40 * np.arange(6)).max() <= 3
    assert "no actions: V can be fitted to them, M cannot" in capsys.readouterr().err
    fit_vae(VAEConfig(latent_size=4, steps=2, batch_size=4), run, [store], torch.device("cpu"))
    with pytest.raises(UserError, match="without actions"):
        fit_mdn_rnn(MDNRNNConfig(steps=2), run, [store], torch.device("cpu"))
    with pytest.raises(UserError, match=r"Which world.*--env\.id"):
        import_episodes(open_source(str(tmp_path)), tmp_path / "other", ELSEWHERE)


def test_videos_with_actions_are_whole_episodes(tmp_path: Path):
    actions, rewards = np.linspace(-1, 1, 5)[:, None], np.arange(5.0)
    film(tmp_path / "a.mp4")
    np.savez(tmp_path / "a.npz", actions=actions, rewards=rewards, terminated=[True])
    episode = next(iter(import_episodes(open_source(str(tmp_path), "videos"), tmp_path / "run", TOY)))
    assert np.allclose(episode.actions, actions)
    assert episode.rewards.tolist() == rewards.tolist()
    assert episode.terminated[-1]
    film(tmp_path / "b.mp4")
    with pytest.raises(UserError, match=r"b\.mp4 has no b\.npz"):
        open_source(str(tmp_path), "videos")


def test_what_goes_out_as_videos_comes_back(store: EpisodeStore, tmp_path: Path):
    assert export_videos(store, tmp_path / "films", fps=20) == 4
    with av.open(str(next((tmp_path / "films").glob("*.mp4")))) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    source = open_source(str(tmp_path / "films"))  # its episode-*.npz are no episodes: they lie beside videos
    back = import_episodes(source, tmp_path / "run", TOY)
    for one, other in zip(store, back, strict=True):
        assert same(one, other, but=("policy", "observations"))
        difference = np.abs(one.observations.astype(float) - other.observations)
        assert difference.mean() < 4


@needs_minari
def test_what_goes_out_as_a_minari_data_set_comes_back_bit_for_bit(store: EpisodeStore, tmp_path: Path):
    import minari

    path = export_data_set(store, tmp_path / "sets", "toy/held-v0", TOY, TOY_ACTION)
    data = minari.MinariDataset(path / "data")
    assert (data.total_episodes, data.observation_space.shape) == (4, (64, 64, 3))
    assert np.array_equal(data[1].observations, store.load(store.files[1]).observations)
    back = import_episodes(open_source(str(path)), tmp_path / "run", ELSEWHERE)
    assert all(same(one, other) for one, other in zip(store, back, strict=True))
    assert Stage(tmp_path / "run", "rollouts").manifest["env"]["id"] == "toy"
    other = EnvConfig("toy", size=64, max_episode_steps=30)
    small = open_source(str(export_data_set(store, tmp_path / "sets", "toy/other-v0", other, TOY_ACTION)))
    import_episodes(small, tmp_path / "second", EnvConfig("", action_repeat=2))
    env = Stage(tmp_path / "second", "rollouts").manifest["env"]
    assert (env["id"], env["size"], env["max_episode_steps"], env["action_repeat"]) == ("toy", 64, 30, 2)
    with pytest.raises(UserError, match="exists already"):
        export_data_set(store, tmp_path / "sets", "toy/held-v0", TOY, TOY_ACTION)
    with pytest.raises(UserError, match="cannot be written"):
        export_data_set(store, tmp_path / "sets", "no version", TOY, TOY_ACTION)


@needs_minari
def test_minari_data_sets_of_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A dictionary of observations, a choice of three actions, an environment that is not installed here."""
    import minari
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    observations = {"image": images, "speed": np.zeros((4, 1), np.float32)}
    spaces = {"image": gym.spaces.Box(0, 255, (16, 16, 3), np.uint8), "speed": gym.spaces.Box(-1, 1, (1,), np.float32)}
    ends = [False, False, True], [False, False, False]
    buffer = EpisodeBuffer(0, 7, None, observations, np.array([0, 2, 1]), [1.0, 2.0, 3.0], *ends)
    minari.create_dataset_from_buffers(
        "guests/three-v0",
        [buffer],
        observation_space=gym.spaces.Dict(spaces),
        action_space=gym.spaces.Discrete(3),
        data_format="hdf5",
        jpeg_encoding=False,
    )
    env = EnvConfig("Nowhere-v0", size=16)
    episode = next(iter(import_episodes(open_source("guests/three-v0"), tmp_path / "run", env)))
    assert np.array_equal(episode.observations, images)
    assert episode.actions.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert episode.rewards.tolist() == [1, 2, 3]
    assert episode.terminated.tolist() == [False, False, True]


@needs_minari
def test_no_data_set_chooses_a_module_that_is_imported(store: EpisodeStore, tmp_path: Path):
    hostile = EnvConfig("antigravity:Toy-v0")
    path = export_data_set(store, tmp_path / "sets", "toy/held-v0", hostile, TOY_ACTION)
    with pytest.raises(
        UserError,
        match=r"asks for the environment antigravity:Toy-v0, for which the module antigravity would be imported",
    ):
        import_episodes(open_source(str(path)), tmp_path / "run", ELSEWHERE)
    assert "antigravity" not in sys.modules


def test_without_minari_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UserError, match=r"pip install 'minari\[hdf5\]'"):
        open_source("atari/pong/expert-v0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no episodes: no .npz files, no videos"),
        ({"a.npz": {"weights": np.zeros(3)}}, r"a\.npz holds weights\. Episodes of ctallec's"),
        ({"a.npz": b"PK\x03\x04 broken"}, r"a\.npz is not a readable"),
        ({"a.npz": {"obs": np.zeros((3, 64, 64, 3)), "action": np.zeros((3, 3))}}, "type float64, not uint8"),
        ({"a.npz": {"obs": BLACK, "action": np.zeros((3, 3), complex)}}, "no plain numbers"),
        ({"a.npz": {"obs": BLACK, "action": np.full((3, 3), 9)}}, "not within"),
        ({"a.npz": {"obs": BLACK[:1], "action": np.zeros((1, 3))}}, "no step at all"),
        ({"a.npz": {"obs": np.zeros((3, 50, 64, 3), np.uint8), "action": np.zeros((3, 3))}}, r"\[50, 64\] pixels"),
        ({"a.npz": {"obs": BLACK, "action": np.zeros(())}}, "its action are a single float64"),
        ({"a.npz": {"obs": BLACK[:, :0], "action": np.zeros((3, 3))}}, "has no pixels"),
        ({"a.npz": {**CTALLEC, "actions": np.zeros(())}}, "its actions are a single float64"),
        ({"a.npz": {**CTALLEC, "observations": BLACK[:0]}}, "its terminals are bool of shape"),
        ({"a.npz": {**CTALLEC, "observations": BLACK[:0], "terminals": np.zeros(0)}}, "no step at all"),
        ({"a.npz": {**CTALLEC, "terminals": np.array(["False"] * 3)}}, "its terminals are <U5 of shape"),
        ({"a.npz": {**CTALLEC, "terminals": np.full(3, np.nan)}}, "its terminals are float64 of shape"),
        ({"a.npz": {**CTALLEC, "terminals": np.array([0, 1, 0])}}, "ends in step 1, and goes on for 1 more"),
        ({"a.mp4": b"no film"}, "not a readable video"),
    ],
)
def test_sources_that_hold_no_episodes_are_refused_in_a_sentence(content, message, tmp_path: Path):
    for name, inside in content.items():
        if isinstance(inside, bytes):
            (tmp_path / name).write_bytes(inside)
        else:
            np.savez(tmp_path / name, **inside)
    with pytest.raises(UserError, match=message) as error:
        import_episodes(open_source(str(tmp_path)), tmp_path / "run", EnvConfig("carracing"))
    assert "\n" not in str(error.value)


def test_what_a_link_does_not_lead_to_is_left_out_only_if_asked(tmp_path: Path):
    np.savez(tmp_path / "a.npz", **CTALLEC)
    (tmp_path / "b.npz").symlink_to("nowhere")
    source = open_source(str(tmp_path))
    with pytest.raises(UserError, match=r"1 of 2 episodes cannot be imported .*b\.npz: .*No such file"):
        import_episodes(source, tmp_path / "run", ELSEWHERE)
    assert len(import_episodes(source, tmp_path / "run", ELSEWHERE, skip_broken=True)) == 1


@pytest.mark.parametrize("name", ["actions", "rewards"])
def test_a_single_number_beside_a_video_is_not_one_for_every_step(name: str, store: EpisodeStore, tmp_path: Path):
    export_videos(store, tmp_path / "films", 10)
    _rewrite(sorted((tmp_path / "films").glob("*.npz"))[0], **{name: np.zeros(())})
    with pytest.raises(UserError, match=f"1 of 4 episodes cannot be imported .*its {name} are a single number"):
        import_episodes(open_source(str(tmp_path / "films"), "videos"), tmp_path / "run", TOY)


def test_a_crop_that_leaves_nothing_is_refused_though_pictures_were_cropped_before(tmp_path: Path):
    np.savez(tmp_path / "a.npz", **CTALLEC)
    with pytest.raises(UserError, match=r"--env.crop 5 2 0 64 .* does not fit any picture"):
        import_episodes(open_source(str(tmp_path)), tmp_path / "run", EnvConfig("carracing", crop=(5, 2, 0, 64)))
