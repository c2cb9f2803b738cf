"""What there is to see: panels, the pictures drawn from them, and the videos written of those."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from agents.agent import Agent
from agents.viewing.panels import HEIGHT, TEXT_SIZE, TITLE_SIZE, WIDTH, Bar, Panel, draw
from agents.viewing.video import GIF_WIDTH, write_video
from agents.viewing.watch import WatchConfig, panels, watch
from rollouts.envs.car_racing import FastCarRacing
from rollouts.errors import UserError

PANEL = Panel(
    "a world",
    "step 3",
    np.full((400, 600, 3), 200, np.uint8),
    [("one", np.full((64, 64, 3), 50, np.uint8)), ("two", np.full((64, 64, 3), 250, np.uint8))],
    [Bar("steer", 0.5, -1, 1), Bar("gas", 0.2, 0, 1)],
    np.linspace(-5, 5, 32, dtype=np.float32),
    (0.0, 1.0, -2.0),
)


@pytest.fixture(scope="module")
def agent(tiny_run: Path) -> Agent:
    return Agent.load(tiny_run)


def moving(count: int, height: int = 64, width: int = 64) -> list[np.ndarray]:
    """A bar that moves to the right."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[:, number * 8 : number * 8 + 8] = 255
    return list(frames)


def decode(file: Path) -> list[np.ndarray]:
    with av.open(str(file)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tiles": []},
        {"tiles": [*PANEL.tiles, *PANEL.tiles]},
        {"bars": []},
        {"bars": [Bar("stuck", 1.0, 1.0, 1.0)] * 9},
        {"bars": [Bar("beyond", 7.0, -1.0, 1.0)]},
        {"latent": np.zeros(0, np.float32)},
        {"latent": np.zeros(1000, np.float32)},
        {"curve": ()},
        {"curve": (5.0,)},
        {"curve": tuple(range(5000))},
        {"view": np.zeros((1, 1, 3), np.uint8)},
        {"view": np.zeros((1000, 10, 3), np.uint8)},
        {"title": "x" * 500, "status": ""},
    ],
    ids=lambda changes: ",".join(changes) or "all",
)
def test_a_panel_is_drawn_whatever_is_missing_or_too_much(changes: dict[str, object]):
    picture = draw(dataclasses.replace(PANEL, **changes))
    assert (picture.shape, picture.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)


def test_drawing_shows_the_view_and_the_tiles_where_they_belong():
    picture = draw(PANEL)
    assert (picture[256, 312] == 200).all()
    assert (picture[140, 700] == 50).all()
    assert (picture[140, 890] == 250).all()
    assert np.array_equal(picture, draw(PANEL))


def test_a_larger_action_makes_a_longer_bar():
    lengths = [
        int((draw(dataclasses.replace(PANEL, bars=[Bar("gas", value, 0, 1)]))[482, 128:360, 2] == 255).sum())
        for value in (0.0, 0.3, 0.9)
    ]
    assert lengths[0] < lengths[1] < lengths[2]


@pytest.mark.parametrize("world", ["real", "dream"])
@pytest.mark.parametrize("every", [1, 3])
def test_an_episode_gives_one_panel_per_drawn_step(world: str, every: int, agent: Agent):
    shown = list(panels(agent, WatchConfig(world, seed=1, max_steps=7, every=every, starts="any")))  # type: ignore[arg-type]
    assert 1 <= len(shown) <= -(-7 // every)
    assert all(len(panel.tiles) >= 2 and len(panel.bars) == 1 and len(panel.latent) == 4 for panel in shown)
    assert [len(panel.curve) for panel in shown] == [1 + every * number for number in range(len(shown))]


@pytest.mark.parametrize("world", ["real", "dream"])
def test_the_same_seed_shows_the_same_episode(world: str, agent: Agent):
    config = WatchConfig(world, seed=3, max_steps=6, every=2, starts="any")  # type: ignore[arg-type]
    one, other = ([draw(panel) for panel in panels(agent, config)] for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "config", [WatchConfig(every=0), WatchConfig(max_steps=0), WatchConfig("dream", temperature=-1.0)]
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(
    config: WatchConfig, agent: Agent, tmp_path: Path
):
    with pytest.raises(UserError):
        watch(agent, config, tmp_path / "video.mp4")
    assert not list(tmp_path.iterdir())


def test_watch_writes_every_panel(agent: Agent, tmp_path: Path):
    config = WatchConfig(max_steps=5, every=1)
    out = watch(agent, config, tmp_path / "video.mp4")
    frames = decode(out)
    assert len(frames) == len(list(panels(agent, config)))
    assert frames[0].shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 97)])
def test_an_mp4_can_be_read_back(height: int, width: int, tmp_path: Path):
    frames = moving(7, height, width)
    assert write_video(frames, tmp_path / "bar.mp4", 25) == 7
    decoded = decode(tmp_path / "bar.mp4")
    assert len(decoded) == 7
    assert decoded[0].shape == (height // 2 * 2, width // 2 * 2, 3)
    for expected, got in zip(frames, decoded, strict=True):
        assert np.abs(expected[: got.shape[0], : got.shape[1]].astype(int) - got).mean() < 8


@pytest.mark.parametrize(("width", "expected"), [(64, 64), (1000, GIF_WIDTH)])
def test_a_gif_can_be_read_back(width: int, expected: int, tmp_path: Path):
    assert write_video(moving(5, 50, width), tmp_path / "bar.gif", 25) == 5
    with Image.open(tmp_path / "bar.gif") as picture:
        assert (picture.n_frames, picture.width, picture.height) == (5, expected, 50 * expected // width)
        assert picture.info["duration"] == 40


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_nothing_is_left_of_a_video_that_fails_in_the_middle(suffix: str, tmp_path: Path):
    def frames():
        yield from moving(3)
        raise KeyError("the world ended")

    with pytest.raises(KeyError):
        write_video(frames(), tmp_path / f"video{suffix}", 25)
    with pytest.raises(UserError, match="no frame"):
        write_video([], tmp_path / f"video{suffix}", 25)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["video.avi", "video", "video.mp4.txt"])
def test_other_suffixes_are_refused(name: str, tmp_path: Path):
    with pytest.raises(UserError, match=r"as \.mp4 or \.gif"):
        write_video(moving(1), tmp_path / name, 25)


@pytest.mark.parametrize(("fps", "seconds"), [(12, 2.0), (17, 24 / 17), (25, 0.96), (35, 24 / 35), (100, 0.48)])
def test_a_gif_lasts_as_long_as_it_should(fps: int, seconds: float, tmp_path: Path):
    write_video(moving(24), tmp_path / "bar.gif", fps)
    with Image.open(tmp_path / "bar.gif") as picture:
        total = 0.0
        for frame in range(picture.n_frames):
            picture.seek(frame)
            total += picture.info["duration"] / 1000
    assert total == pytest.approx(seconds, abs=0.006)


def test_a_gif_keeps_the_colour_of_small_things(tmp_path: Path):
    """A palette for each picture that spends all on grass and road turns a red car brown."""
    env = FastCarRacing(render_mode="rgb_array")
    observation, _ = env.reset(seed=1)
    for _ in range(60):
        observation = env.step(np.array([0.1, 0.6, 0.0], np.float32))[0]
    tile = cv2.resize(observation[:84], (64, 64), interpolation=cv2.INTER_AREA)
    tiles = [("seen", tile), ("kept", cv2.GaussianBlur(tile, (5, 5), 2))]
    panel = draw(dataclasses.replace(PANEL, view=env.render(), tiles=tiles))
    write_video([panel], tmp_path / "car.gif", 25)
    size = (GIF_WIDTH, HEIGHT * GIF_WIDTH // WIDTH)
    expected = np.asarray(Image.fromarray(panel).resize(size, Image.Resampling.BOX)).astype(int)
    with Image.open(tmp_path / "car.gif") as picture:
        assert np.abs(np.asarray(picture.convert("RGB")) - expected).max() < 25


def test_letters_are_legible_at_the_size_of_a_gif():
    assert min(TITLE_SIZE, TEXT_SIZE) * GIF_WIDTH / WIDTH >= 10.5
