"""What M learns from: encoded episodes, their cache, windows of them, and spread rewards."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rollouts import UserError
from worldmodels.data.latents import (
    LatentEpisode,
    LatentWindows,
    encode_episode,
    encode_sources,
    encoder,
    spread_rewards,
)

CPU = torch.device("cpu")


def latent_episode(steps: int, number: int = 0, logvar: float = -np.inf) -> LatentEpisode:
    """Every value says where it stands: frame t of episode n is [n, t], action and reward of step t are n + t/100."""
    frames, values = np.arange(steps + 1), number + np.arange(steps) / 100
    return LatentEpisode(
        np.stack([np.full(steps + 1, number), frames], 1).astype(np.float16),
        np.full((steps + 1, 2), logvar, np.float16),
        values[:, None].astype(np.float32),
        values.astype(np.float32),
        np.arange(steps) == steps - 1,
        Path(f"episode-{number:010d}.npz"),
    )


def sources(store):
    return [(store, file) for store in [store] for file in store.files]


def file_times(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.npz")}


def test_frames_are_encoded_in_their_order(make_model, toy_episodes):
    vae, episode = make_model().vae, toy_episodes[0]
    latent = encode_episode(encoder(vae, CPU), episode, Path("x"))
    assert len(latent) == len(episode)
    for t in (0, len(episode) // 2, len(episode)):
        frame = torch.as_tensor(episode.observations[t : t + 1]).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            mean, logvar = vae.encode(frame)
        np.testing.assert_allclose(latent.mean[t], mean[0], atol=2e-3)
        np.testing.assert_allclose(latent.logvar[t], logvar[0], atol=2e-3)


def test_latents_are_read_from_the_cache_until_v_changes(make_model, toy_store, tmp_path):
    model, cache = make_model(), tmp_path / "latents"
    first = encode_sources(model.vae, "hash-a", sources(toy_store), cache, CPU)
    cached = encode_sources(make_model(latent_size=3).vae, "hash-a", sources(toy_store), cache, CPU)
    for one, two in zip(first, cached, strict=True):
        assert all(np.array_equal(getattr(one, f.name), getattr(two, f.name)) for f in fields(LatentEpisode))
    other = encode_sources(make_model(latent_size=3).vae, "hash-b", sources(toy_store), cache, CPU)
    assert other[0].mean.shape[1] == 3
    assert [folder.name for folder in cache.iterdir()] == ["hash-b"]


def test_an_episode_recorded_anew_under_its_seed_is_encoded_anew(make_model, toy_store, tmp_path):
    vae, cache = make_model().vae, tmp_path / "latents"
    first = encode_sources(vae, "v", sources(toy_store), cache, CPU)
    times = file_times(cache)
    anew = replace(toy_store.load(first[2].file), rewards=first[2].rewards + 1)
    toy_store.append(anew)
    again = encode_sources(vae, "v", sources(toy_store), cache, CPU)
    assert np.array_equal(again[2].rewards, anew.rewards)
    changed = {file.name for file, time in file_times(cache).items() if times[file] != time}
    assert changed == {first[2].file.name}


def test_a_cache_that_does_not_say_what_it_was_made_from_is_made_again(make_model, toy_store, tmp_path):
    vae, cache = make_model().vae, tmp_path / "latents"
    first = encode_sources(vae, "v", sources(toy_store), cache, CPU)
    arrays = {name: value for name, value in vars(first[0]).items() if name != "file"}
    np.savez(cache / "v" / first[0].file.name, **{**arrays, "rewards": first[0].rewards + 1})
    assert np.array_equal(encode_sources(vae, "v", sources(toy_store), cache, CPU)[0].rewards, first[0].rewards)


def test_a_damaged_cache_is_made_again_and_a_damaged_episode_left_out(make_model, toy_store, tmp_path, capsys):
    model, cache = make_model(), tmp_path / "latents"
    first = encode_sources(model.vae, "v", sources(toy_store), cache, CPU)
    file = cache / "v" / first[2].file.name
    file.write_bytes(file.read_bytes()[:100])
    again = encode_sources(model.vae, "v", sources(toy_store), cache, CPU)
    assert np.array_equal(again[2].mean, first[2].mean)
    file.unlink()
    first[2].file.write_bytes(b"damaged")
    assert len(encode_sources(model.vae, "v", sources(toy_store), cache, CPU)) == len(first) - 1
    assert first[2].file.name in capsys.readouterr().err


def test_no_readable_episode_is_an_error(make_model, toy_store, tmp_path):
    for file in toy_store.files:
        file.write_bytes(b"damaged")
    with pytest.raises(UserError, match="None of 12 episodes"):
        encode_sources(make_model().vae, "v", sources(toy_store), tmp_path / "latents", CPU)


@pytest.mark.parametrize(("back", "ahead"), [(0, 0), (2, 3), (8, 15), (100, 100)])
def test_spreading_a_reward_keeps_every_total_and_stays_in_its_window(back, ahead):
    rng = np.random.default_rng(0)
    rewards = (rng.normal(size=40) * (rng.random(40) < 0.3)).astype(np.float32)
    expected = np.zeros(40)
    for moment, reward in enumerate(rewards):
        window = [t for t in range(40) if moment - ahead <= t <= moment + back]
        expected[window] += reward / len(window)
    np.testing.assert_allclose(spread_rewards(rewards, back, ahead), expected, atol=1e-6)
    assert spread_rewards(rewards, back, ahead).sum() == pytest.approx(rewards.sum(), abs=1e-5)


def test_a_reward_is_spread_more_to_before_it_than_to_after_it():
    rewards = np.zeros(10, np.float32)
    rewards[5] = 4.0
    assert spread_rewards(rewards, back=1, ahead=2).tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0]


def test_windows_stand_at_their_place_whatever_their_neighbours():
    episodes = [latent_episode(steps, number) for number, steps in enumerate((5, 9, 3))]
    windows = LatentWindows(episodes, CPU).sample(200, 4, 0, torch.Generator().manual_seed(0))
    for z, actions, rewards, terminated, counts, *_ in zip(*vars(windows).values(), strict=True):
        number, start = int(z[0, 0]), int(z[0, 1])
        steps = len(episodes[number])
        assert z[:, 0].tolist() == [number] * 5
        assert z[:, 1].tolist() == [min(start + t, steps) for t in range(5)]
        inside = [t for t in range(4) if start + t < steps]
        assert counts.tolist() == [float(t in inside) for t in range(4)]
        for t in inside:
            assert actions[t, 0].item() == rewards[t].item() == pytest.approx(number + (start + t) / 100)
            assert bool(terminated[t]) == (start + t == steps - 1)


def test_burn_in_steps_do_not_count_unless_they_begin_the_episode():
    data = LatentWindows([latent_episode(20)], CPU)
    episode, start = torch.zeros(2, dtype=torch.long), torch.tensor([0, 6])
    windows = data.window(episode, start, 5, 2, torch.Generator())
    assert windows.counts.tolist() == [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]]


def test_every_step_of_a_long_episode_is_learnt_from():
    data, seen = LatentWindows([latent_episode(300)], CPU), np.zeros(300)
    windows = data.sample(3000, 20, 4, torch.Generator().manual_seed(0))
    first = windows.z[:, 0, 1].long().numpy()
    for start, counts in zip(first, windows.counts.numpy(), strict=True):
        seen[start : start + 20] += counts
    assert seen.min() > 0.5 * seen.mean()
    assert seen.max() < 4 * seen.mean()
