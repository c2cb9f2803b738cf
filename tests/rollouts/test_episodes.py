"""Episodes on disk: whole or not at all, and damage is named, not hidden."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest

from rollouts import Episode, EpisodeStore, UserError


def small_episode(seed: int = 5, steps: int = 3) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        rng.integers(0, 256, (steps + 1, 8, 8, 3), dtype=np.uint8),
        rng.random((steps, 2), dtype=np.float32),
        rng.random(steps, dtype=np.float32),
        np.eye(1, steps, steps - 1, dtype=bool)[0],
        np.zeros(steps, bool),
        seed,
        "held",
    )


@pytest.mark.parametrize("field", ["observations", "actions", "rewards", "terminated", "truncated"])
def test_an_episode_with_one_array_too_short_is_refused(field):
    episode = small_episode()
    with pytest.raises(ValueError, match=r"expected T, and T\+1 observations"):
        replace(episode, **{field: getattr(episode, field)[:-1]})


def test_an_empty_episode_is_refused():
    with pytest.raises(ValueError, match="0 actions"):
        small_episode(steps=0)


def test_total_reward_is_summed_in_double_precision():
    rewards = np.full(3, 0.1, np.float32) + np.array([2**24, 0, 0], np.float32)
    assert replace(small_episode(), rewards=rewards).total_reward == rewards.astype(float).sum()


def test_what_was_appended_is_read_back(tmp_path):
    store, episode = EpisodeStore(tmp_path), small_episode()
    back = store.load(store.append(episode))
    for field in fields(Episode):
        assert np.array_equal(getattr(back, field.name), getattr(episode, field.name)), field.name
    assert back.observations.dtype == np.uint8


def test_the_store_is_ordered_by_seed_and_the_same_seed_replaces(tmp_path):
    store = EpisodeStore(tmp_path)
    for seed in (11, 3, 2_000_000_000, 3):
        store.append(small_episode(seed))
    assert store.seeds() == [3, 11, 2_000_000_000]
    assert [episode.seed for episode in store] == [3, 11, 2_000_000_000]
    assert 3 in store
    assert 4 not in store


def test_a_reader_never_sees_a_file_that_is_still_being_written(tmp_path, monkeypatch):
    store, save, seen = EpisodeStore(tmp_path), np.savez_compressed, []

    def slow_save(file, **arrays):
        file.write(b"half an episode")
        file.flush()
        seen.append(EpisodeStore(tmp_path).files)
        file.seek(0)
        save(file, **arrays)

    store.append(small_episode(1))
    monkeypatch.setattr(np, "savez_compressed", slow_save)
    store.append(small_episode(2))
    assert [file.name for file in seen[0]] == ["episode-0000000001.npz"]
    assert len(store) == 2


def _truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip_a_bit(content: bytes) -> bytes:
    return content[:300] + bytes([content[300] ^ 1]) + content[301:]


def _npy(content: bytes) -> bytes:
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    return array.getvalue()


@pytest.mark.parametrize(
    "damage",
    [_truncate, _flip_a_bit, _npy, lambda content: b"", lambda content: b"not an archive", pickle.dumps],
    ids=["truncated", "flipped bit", "npy", "empty", "text", "pickle"],
)
def test_a_damaged_file_is_named_once_and_skipped(damage, tmp_path, capsys):
    store = EpisodeStore(tmp_path)
    for seed in (1, 2, 3):
        store.append(small_episode(seed))
    file = store.file(2)
    file.write_bytes(damage(file.read_bytes()))
    assert [episode.seed for episode in store] == [1, 3]
    assert [episode.seed for episode in store] == [1, 3]
    assert capsys.readouterr().err.count(str(file)) == 1
    with pytest.raises(UserError, match="is not a readable episode"):
        store.load(file)


def test_rewards_alone_are_those_of_the_readable_episodes(tmp_path, capsys):
    store = EpisodeStore(tmp_path)
    for seed in (1, 2, 3):
        store.append(small_episode(seed))
    store.file(2).write_bytes(b"not an archive")
    rewards = list(store.rewards())
    np.testing.assert_array_equal(rewards, [store.load(store.file(seed)).rewards for seed in (1, 3)])
    assert capsys.readouterr().err.count(str(store.file(2))) == 1


def test_whatever_byte_is_damaged_the_file_loads_or_is_refused_cleanly(tmp_path):
    store = EpisodeStore(tmp_path)
    file = store.append(small_episode())
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(len(whole), size=200):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ int(rng.integers(1, 256))]) + whole[place + 1 :])
        store.read(file)


def test_a_file_with_pickled_objects_is_refused_and_nothing_in_it_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "exploded").touch, ()

    store, arrays = EpisodeStore(tmp_path), vars(small_episode(7))
    np.savez(store.file(7), **(arrays | {"rewards": np.array([Bomb()] * 3, dtype=object)}))
    with pytest.raises(UserError, match="pickle"):
        store.load(store.file(7))
    assert not (tmp_path / "exploded").exists()


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    with pytest.raises(UserError, match="collect"):
        EpisodeStore(tmp_path / "nothing").require_episodes()


def _npy_of(shape: str, descr: str, content: bytes = bytes(64)) -> bytes:
    """The bytes of a .npy file whose header says what it likes."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("rewards", _npy_of("(100000000000,)", "<f4"), "promises"),
        ("rewards", _npy_of("(-3,)", "<f4"), "promises"),
        ("rewards", _npy_of("(3,)", "<f4"), "promises"),
        ("rewards", _npy_of("(9999999999999999999999999,)", "<f4"), "promises"),
        ("rewards", _npy_of("(8,)", "<c8"), "no plain numbers"),
        ("rewards", _npy_of("(8,)", "|O"), "pickled objects"),
        ("rewards", _npy_of("(", "<f4"), "not a readable episode"),
        ("seed", _npy_of("(8,)", "<f8"), "not a readable episode"),
    ],
    ids=["huge", "negative", "short", "beyond 64 bits", "complex", "objects", "no header", "many seeds"],
)
def test_a_false_header_is_refused_before_memory_is_set_aside(name, array, message, tmp_path):
    store = EpisodeStore(tmp_path)
    file = store.append(small_episode(1))
    with zipfile.ZipFile(file) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    entries[f"{name}.npy"] = array
    with zipfile.ZipFile(file, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    with pytest.raises(UserError, match=message) as error:
        store.load(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observations": np.zeros((4, 8, 8, 3), np.float32)}, "observations is of type float32"),
        ({"observations": np.zeros((4, 3, 8, 8), np.uint8)}, r"\[T\+1, H, W, 3\]"),
        ({"actions": np.zeros(3, np.float32)}, "actions is of type float32 and shape"),
        ({"rewards": np.array([0, np.nan, 1], np.float32)}, "rewards has numbers that are not finite, first at step 1"),
        ({"actions": np.full((3, 2), np.inf, np.float32)}, "actions has numbers that are not finite, first at step 0"),
        ({"rewards": np.zeros(3, np.complex64)}, "rewards is of type complex64"),
        ({"terminated": np.array([True, False, False])}, "ends in step 0, and goes on for 2 more"),
        ({"terminated": np.zeros(3)}, "terminated is of type float64"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_an_episode_holds_its_arrays_to_their_types_and_shapes(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(small_episode(), **changes)
