"""Batches of frames: a function of (seed, step), every frame once per pass, memory bounded."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import worldmodels.data.frames
from rollouts import Episode, EpisodeStore, UserError
from rollouts.seeds import COLLECTION
from worldmodels.data.frames import FrameBatches, frames_shape, read_sequences, split

LENGTHS = (9, 4, 12, 7, 5, 11)  # frames per episode: 48 in all
SIDE = 48  # pixels: the files are larger than what is read along with their headers
BYTES = SIDE * SIDE * 3  # of one frame


def store_of_numbered_frames(folder: Path) -> EpisodeStore:
    """Every frame is full of noise, but for its number in the first pixel."""
    store, number, rng = EpisodeStore(folder), 0, np.random.default_rng(0)
    for seed, frames in enumerate(LENGTHS):
        observations = rng.integers(0, 256, (frames, SIDE, SIDE, 3), dtype=np.uint8)
        observations[:, 0, 0, 0] = range(number, number + frames)
        number += frames
        nothing = np.zeros(frames - 1, np.float32)
        store.append(Episode(observations, nothing[:, None], nothing, *[nothing.astype(bool)] * 2, seed, "numbered"))
    return store


def numbers(frames: np.ndarray) -> list[int]:
    return frames[:, 0, 0, 0].tolist()


def damage(file: Path) -> None:
    """Flip a bit in the pixels, behind a header that can still be read."""
    content = bytearray(file.read_bytes())
    content[content.index(b"actions.npy") - 60] ^= 1
    file.write_bytes(content)


@pytest.fixture
def sources(tmp_path):
    store = store_of_numbered_frames(tmp_path)
    return [(store, file) for file in store.files]


def test_every_frame_comes_once_per_pass_in_another_order(sources):
    batches = FrameBatches(sources, batch_size=8, seed=0)
    passes = [[n for step in range(6 * p, 6 * p + 6) for n in numbers(batches(step))] for p in range(3)]
    assert all(sorted(seen) == list(range(48)) for seen in passes)
    assert len({tuple(seen) for seen in passes}) == 3


@pytest.mark.parametrize("memory", [4e9, 20 * BYTES])
def test_a_batch_is_a_function_of_seed_and_step_wherever_one_begins(sources, memory):
    whole = FrameBatches(sources, 8, seed=3, memory=memory)
    batches = [numbers(whole(step)) for step in range(20)]
    resumed = FrameBatches(sources, 8, seed=3, memory=memory)
    assert [numbers(resumed(step)) for step in range(13, 20)] == batches[13:]
    assert numbers(FrameBatches(sources, 8, seed=4, memory=memory)(0)) != batches[0]


def test_with_little_memory_no_more_is_read_at_a_time_and_frames_still_come_about_equally_often(sources, monkeypatch):
    chunks = []

    def counting(chunk, lag):
        frames, before = read_sequences(chunk, lag)
        chunks.append(len(frames))
        return frames, before

    monkeypatch.setattr(worldmodels.data.frames, "read_sequences", counting)
    batches = FrameBatches(sources, 4, seed=0, memory=40 * BYTES)
    seen = Counter(n for step in range(480) for n in numbers(batches(step)))  # about 40 passes
    assert max(chunks) <= 20  # the other half is for what is read ahead
    assert set(seen) == set(range(48))
    assert min(seen.values()) > 0.6 * 40
    assert max(seen.values()) < 1.5 * 40


@pytest.mark.parametrize("memory", [80, 240])
def test_no_more_memory_is_taken_than_was_given(memory, tmp_path):
    """In frames; 240 are all. To them come the episode that is being unpacked, 20, and buffers for that."""
    store, rng, nothing = EpisodeStore(tmp_path), np.random.default_rng(0), np.zeros(19, np.float32)
    for seed in range(12):
        observations = rng.integers(0, 256, (20, 128, 128, 3), dtype=np.uint8)
        store.append(Episode(observations, nothing[:, None], nothing, *[nothing.astype(bool)] * 2, seed, "noise"))
    batches = FrameBatches([(store, file) for file in store.files], 10, seed=0, memory=memory * observations[0].nbytes)
    tracemalloc.start()
    for step in range(48):
        batches(step)
    peak = tracemalloc.get_traced_memory()[1] / observations[0].nbytes
    tracemalloc.stop()
    assert memory < peak < memory + 60


def test_the_order_of_a_chunk_is_drawn_once_and_not_in_every_step(sources, monkeypatch):
    batches, draws = FrameBatches(sources, 4, seed=0, memory=40 * BYTES), []
    draw = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda key: draws.append(key) or draw(key))
    for step in range(60):
        batches(step)
    assert len(set(draws)) == len(draws) < 40


def test_steps_are_asked_for_in_order(sources):
    batches = FrameBatches(sources, 8, seed=0)
    batches(7)
    with pytest.raises(ValueError, match="after a later one"):
        batches(0)


@pytest.mark.parametrize("number", [0, 2])
def test_a_damaged_episode_is_named_and_left_out(number, sources, capsys):
    _, file = sources[number]
    damage(file)
    assert frames_shape(file) == (LENGTHS[number], SIDE, SIDE, 3)
    batches = FrameBatches(sources, 4, seed=0)
    seen = {n for step in range(100) for n in numbers(batches(step))}
    first = sum(LENGTHS[:number])
    assert seen == set(range(48)) - set(range(first, first + LENGTHS[number]))
    assert file.name in capsys.readouterr().err


def test_shapes_are_read_without_the_pixels_and_are_empty_for_damaged_files(sources, tmp_path):
    assert [frames_shape(file)[0] for _, file in sources] == list(LENGTHS)
    file = tmp_path / "episode.npz"
    for content in (b"", b"text", sources[0][1].read_bytes()[:200]):
        file.write_bytes(content)
        assert frames_shape(file) == (0,)


def test_too_few_frames_for_a_batch_are_refused(sources):
    with pytest.raises(UserError, match="48 readable frames are fewer than one batch of 100"):
        FrameBatches(sources, 100, seed=0)


@pytest.mark.parametrize("memory", [4e9, 20 * BYTES])
def test_all_episodes_damaged_is_an_error_and_not_an_endless_search(memory, sources):
    for _, file in sources:
        damage(file)
    with pytest.raises(UserError, match="could be read; collect them again"):
        FrameBatches(sources, 8, seed=0, memory=memory)(0)


def test_one_episode_in_ten_is_held_out_and_always_at_least_one(toy_episodes, tmp_path):
    store = EpisodeStore(tmp_path)
    for number in range(20):
        (store.path / f"episode-{COLLECTION + number}.npz").touch()
    training, test = split([store])
    assert [file.stem[-2:] for _, file in test] == ["09", "19"]
    assert len(training) == 18
    one = EpisodeStore(tmp_path / "one")
    one.append(toy_episodes[0])
    assert split([one]) == ([(one, one.files[0])], [(one, one.files[0])])
    one.append(toy_episodes[1])
    assert [len(part) for part in split([one])] == [1, 1]
    with pytest.raises(UserError, match="holds no episodes"):
        split([EpisodeStore(tmp_path / "empty")])


@pytest.mark.parametrize("memory", [4e9, 20 * BYTES])
@pytest.mark.parametrize("lag", [1, 3])
def test_a_pair_is_a_frame_and_the_one_some_steps_earlier_in_its_episode(sources, memory, lag):
    batches = FrameBatches(sources, 8, seed=3, memory=memory, lag=lag)
    of_episode = [number for number, count in enumerate(LENGTHS) for _ in range(count)]
    first = [0, *np.cumsum(LENGTHS).tolist()]
    for step in range(12):
        frames, earlier = batches.pairs(step)
        for now, before in zip(numbers(frames), numbers(earlier), strict=True):
            assert before == max(now - lag, first[of_episode[now]])
