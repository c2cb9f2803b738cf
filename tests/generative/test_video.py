"""Video: clips from everywhere, moving digits with known chances, joint mixtures, futures, the split, its measures."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rollouts.episodes import Episode, EpisodeStore
from rollouts.errors import UserError
from rollouts.transfer.videos import write_mp4
from worldmodels.generative.data.augment import augment
from worldmodels.generative.data.clips import first_frames, load_clips
from worldmodels.generative.data.moving_digits import DIGIT, SIDE, STEP, TURN, drawn, moving_digits, paths
from worldmodels.generative.data.samples import LoadOptions, Samples, to_tensor
from worldmodels.generative.fit import fit_images
from worldmodels.generative.measures import clips as measures
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.models.trained import load_trained
from worldmodels.generative.objectives.units import Batch, Trainer
from worldmodels.generative.objectives.video import joint_nll, tied
from worldmodels.mixture import Mixture, sample_mixture
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")
OPTIONS = LoadOptions(size=16)


# Data


def film(count: int, shade: int, size: int = 16) -> list[np.ndarray]:
    """Frames whose brightness tells their number."""
    return [np.full((size, size, 3), shade + 2 * number, np.uint8) for number in range(count)]


def in_order(clips: np.ndarray) -> bool:
    """Every clip's frames follow each other."""
    grey = clips.mean((2, 3, 4))
    return bool((np.diff(grey, axis=1) > 0.5).all())


def test_films_of_every_kind_become_clips(tmp_path):
    """GIF, mp4, folders of frames, episodes: whole films are held out, and classes are the sub-folders."""
    for kind, shade in (("dark", 0), ("light", 120)):
        for number in range(3):
            folder = tmp_path / "frames" / kind / f"film-{number}"
            folder.mkdir(parents=True)
            for index, frame in enumerate(film(12, shade + number)):
                Image.fromarray(frame).save(folder / f"{index:03}.png")
            (tmp_path / "films" / kind).mkdir(parents=True, exist_ok=True)
            if number:
                write_mp4(film(12, shade), tmp_path / "films" / kind / f"{number}.mp4", 10)
            else:
                first, *rest = [Image.fromarray(frame) for frame in film(12, shade)]
                first.save(tmp_path / "films" / kind / "0.gif", save_all=True, append_images=rest)
    for place in ("frames", "films"):
        samples = load_clips(str(tmp_path / place), 4, 2, OPTIONS)
        assert samples.train.shape[1:] == (4, 16, 16, 3)
        assert (samples.frames, samples.size, samples.channels, samples.are_images) == (4, 16, 3, True)
        assert samples.class_names == ("dark", "light")
        assert len(samples.train) == 5 * 3  # of 6 films one is held out; windows of 4 among 6 frames begin at 0, 1, 2
        assert len(samples.test) == 3
        assert in_order(samples.train)
        assert ((samples.train.mean((1, 2, 3, 4)) > 100) == samples.train_labels).all()
    store = EpisodeStore(tmp_path / "run" / "episodes")
    for seed in range(3):
        nothing = np.zeros(11, np.float32)
        ends = np.zeros(11, bool)
        store.append(Episode(np.stack(film(12, 0)), nothing[:, None], nothing, ends, ends, seed, "none"))
    episodes = load_clips(str(tmp_path / "run"), 4, 1, LoadOptions())
    assert episodes.train.shape == (2 * 9, 4, 16, 16, 3)
    assert episodes.train_labels is None


def test_of_a_single_film_the_end_is_held_out(tmp_path):
    write_mp4(film(60, 0), tmp_path / "one.mp4", 10)
    samples = load_clips(str(tmp_path / "one.mp4"), 5, 1, OPTIONS)
    assert samples.train.mean((2, 3, 4)).max() < samples.test.mean((2, 3, 4)).min()
    assert first_frames(tmp_path / "one.mp4", 3, 16, 1, "crop").shape == (3, 16, 16, 1)
    Image.fromarray(film(1, 9)[0]).save(tmp_path / "p.png")
    assert first_frames(tmp_path / "p.png", 3, 8, 3, "crop").shape == (1, 8, 8, 3)


def test_what_makes_no_clips_is_said_in_a_sentence(tmp_path):
    write_mp4(film(6, 0), tmp_path / "short.mp4", 10)
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    (tmp_path / "empty").mkdir()
    wide = [np.zeros((16, 32, 3), np.uint8)] * 30
    write_mp4(wide, tmp_path / "wide.mp4", 10)
    for name, message in (
        ("nowhere", "no file or folder"),
        ("short.mp4", "too short for clips of 5"),
        ("broken.gif", "not a readable video"),
        ("empty", "holds no pictures"),
    ):
        with pytest.raises(UserError, match=message):
            load_clips(str(tmp_path / name), 5, 1, OPTIONS)
    with pytest.raises(UserError, match="choose --size"):
        load_clips(str(tmp_path / "wide.mp4"), 5, 1, LoadOptions())
    with pytest.raises(UserError, match="--memory-gb"):
        load_clips(str(tmp_path / "wide.mp4"), 5, 1, LoadOptions(size=16, memory=10_000))


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """28x28 blobs of two classes, wide and high: no package is needed."""
    pictures = np.zeros((60, 28, 28, 1), np.uint8)
    pictures[::2, 12:16, 5:23], pictures[1::2, 5:23, 12:16] = 255, 255
    return pictures, np.arange(60) % 2


@pytest.fixture
def moving(digits, monkeypatch) -> Samples:
    monkeypatch.setattr("worldmodels.generative.data.clips.PACKAGED", {"digits": lambda: digits})
    monkeypatch.setattr("worldmodels.generative.data.moving_digits.COUNTS", (300, 60))
    return moving_digits(0, 6, digits)


def test_moving_digits_have_the_chances_they_are_said_to_have():
    """First directions are equally likely; later ones are kept with 1 - TURN along each axis, apart from walls."""
    found = paths(20_000, 5, np.random.default_rng(0))
    assert found.min() >= 0
    assert found.max() <= SIDE - DIGIT
    steps = np.diff(found, axis=1)
    assert (np.abs(steps) == STEP).all()
    free = ((found[:, 0] >= STEP) & (found[:, 0] <= SIDE - DIGIT - STEP)).all(1)
    shares = np.bincount((steps[free, 0] > 0) @ [2, 1], minlength=4) / free.sum()
    assert np.abs(shares - 0.25).max() < 0.02
    most = SIDE - DIGIT - STEP
    unhindered = (found[:, 1:-1] >= STEP) & (found[:, 1:-1] <= most)
    kept = (steps[:, 1:] == steps[:, :-1])[unhindered].mean()
    assert kept == pytest.approx(1 - TURN, abs=0.01)


def test_clips_show_a_digit_at_its_path(digits):
    corners = np.array([[[0, 3], [2, 5]], [[12, 12], [10, 10]]])
    small = np.full((2, DIGIT, DIGIT, 1), 7, np.uint8)
    clips = drawn(small, corners)
    for clip, path in zip(clips, corners, strict=True):
        for frame, (across, down) in zip(clip, path, strict=True):
            assert (frame[down : down + DIGIT, across : across + DIGIT] == 7).all()
            assert frame.sum() == 7 * DIGIT**2


def test_frames_of_a_clip_are_mirrored_together():
    x = torch.rand(8, 1, 2, 4, 4).repeat(1, 3, 1, 1, 1)
    (found,) = augment([x], generator_for(0, 0), True, 0.3)
    assert found.shape == x.shape
    assert torch.equal(found[:, 0], found[:, 2])
    assert not torch.equal(found, x)


# Mixtures


def test_a_joint_mixture_is_that_of_whole_vectors():
    """Against PyTorch's own distributions; and its draws are never of two components at once."""
    torch.manual_seed(0)
    logits, mean, log_std = torch.randn(5, 3, 4), torch.randn(5, 3, 4), torch.randn(5, 3, 4) - 1
    mixture, target = tied(Mixture(logits, mean, log_std)), torch.randn(5, 3)
    parts = torch.distributions.Independent(torch.distributions.Normal(mean.mT, log_std.exp().mT), 1)
    weights = torch.distributions.Categorical(logits=logits.mean(1))
    expected = torch.distributions.MixtureSameFamily(weights, parts).log_prob(target)
    torch.testing.assert_close(joint_nll(mixture, target), -expected)
    corners = torch.tensor([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])  # four corners of a square
    diagonal = Mixture(torch.zeros(2, 4), corners, torch.full((2, 4), -9.0))
    three = Mixture(torch.tensor([0.0, 0.0, 0.0, -99.0]).expand(2, 4), corners, torch.full((2, 4), -9.0))
    for mixture, missing in ((diagonal, False), (three, True)):
        uniform, normal = torch.rand(2000, 1), torch.randn(2000, 2)
        many = Mixture(*(part.expand(2000, 2, 4) for part in tied(mixture)))
        found = sample_mixture(many, 1.0, uniform, normal).sign()
        last = ((found == torch.tensor([-1.0, -1.0])).all(1)).float().mean()
        assert float(last) == (0 if missing else pytest.approx(0.25, abs=0.04))


# The model


def model(samples: Samples, name: str = "video", **options):
    config = dataclasses.replace(preset(name, "tiny"), frames=6, hidden_size=16, mixtures=4, **options)
    return build(config, Shape.of(samples), CPU)


def batch_of(samples: Samples, count: int = 8) -> Batch:
    labels = torch.from_numpy(samples.train_labels[:count])
    return Batch(to_tensor(samples.train[:count]), labels, generator_for(0, 0))


def test_both_units_move_only_their_own_weights(moving):
    video, batch = model(moving), batch_of(moving)
    vision, foresight = video.units()
    for unit, other in ((vision, video.network.dynamics), (foresight, video.network.vae)):
        before = [part.clone() for part in other.parameters()]
        own = [part.clone() for group in unit.optimiser.param_groups for part in group["params"]]
        Trainer([unit], lambda number: (batch.x, batch.labels), 0)(0)
        assert all(torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True))
        now = [part for group in unit.optimiser.param_groups for part in group["params"]]
        assert all(not torch.equal(a, b) for a, b in zip(own, now, strict=True))


def test_the_loss_of_v_is_the_bound_with_the_static_code_paid_once(moving):
    """Recomputed from its parts: per clip, the errors of all frames, all dynamic KLs, and one static KL."""
    video, batch = model(moving), batch_of(moving)
    video.network.eval()
    terms = video.video.vision_loss(batch).terms
    codes, rng = video.network.encode(batch.x, None), generator_for(0, 0)
    chosen = (torch.rand(8, generator=rng) * 6).long()
    mean, logvar = (part[torch.arange(8), chosen] for part in (codes.static_mean, codes.static_logvar))
    static = mean + (0.5 * logvar).exp() * torch.randn(8, 16, generator=rng)
    dynamic = codes.mean + (0.5 * codes.logvar).exp() * torch.randn(8, 6, 8, generator=rng)
    output = torch.sigmoid(video.network.decode(static, dynamic, None))
    nats = torch.nn.functional.binary_cross_entropy(output, batch.x, reduction="sum") / 48

    def kl(mean: Tensor, logvar: Tensor) -> Tensor:
        normal = torch.distributions.Normal(mean, (0.5 * logvar).exp())
        return torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum()

    torch.testing.assert_close(terms["distortion"], nats, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(terms["rate"], (kl(codes.mean, codes.logvar) + kl(mean, logvar)) / 48)


def test_futures_begin_as_given_and_know_nothing_of_what_came(moving):
    video = model(moving)
    x = batch_of(moving).x
    changed = torch.cat([x[:, :2], torch.rand_like(x[:, 2:])], 1)
    first, second = (video.futures(clip[:, :2], generator_for(0, 1)) for clip in (x, changed))
    assert first.shape == x.shape
    assert torch.equal(first[:, :2], x[:, :2])
    assert torch.equal(first, second)
    assert not torch.equal(first, video.futures(x[:, :2], generator_for(0, 2)))


@pytest.mark.parametrize(
    ("name", "options", "actions"),
    [("video", {}, 16), ("video", {"static_size": 0, "joint": False}, 0), ("video-conditional", {}, 26)],
)
def test_the_action_of_m_is_what_stays(name, options, actions, moving):
    """The static code, and the class; without both, M goes on without any action."""
    video = model(moving, name, **options)
    assert video.network.dynamics.action_size == actions
    assert video.network.dynamics.reward_head is video.network.dynamics.termination_head is None
    drawn_clips = video.draw(3, generator_for(0, 0))
    assert drawn_clips.shape == (3, 6, 1, SIDE, SIDE)
    assert ("exchange" in video.views()) == bool(video.network.static_size)
    batch = batch_of(moving)
    for view in video.views().values():
        assert view(batch).ndim == 3
    frames = video.films()["futures"](batch)
    assert len(frames) == 6
    assert frames[0].shape[0] == 3 * (SIDE + 2) + 2


def test_interrupted_training_is_bit_equal_and_draws_without_data(moving, tmp_path, monkeypatch):
    config = dataclasses.replace(preset("video", "tiny"), frames=6, log_every=2, checkpoint_every=4, decay=False)
    for steps, run in ((6, "whole"), (3, "parts"), (6, "parts")):
        fit_images("video", dataclasses.replace(config, steps=steps), tmp_path / run, CPU)
    monkeypatch.setattr("worldmodels.generative.data.clips.PACKAGED", {})
    whole, parts = (load_trained(tmp_path / run, CPU) for run in ("whole", "parts"))
    for a, b in zip(whole.model.network.parameters(), parts.model.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert whole.model.draw(2, generator_for(0, 0)).shape == (2, 6, 1, SIDE, SIDE)
    assert whole.shape.frames == 6


# Measures


def test_entropies_of_known_classifiers():
    """A classifier that reads a class from the brightness of a frame, and clips that change it or keep it."""

    class Reader(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 60 * torch.nn.functional.one_hot((4 * x[:, 0, 0, 0]).long(), 4).float()

    kept = torch.tensor([0.0, 0.25, 0.5, 0.75])[:, None].expand(4, 6)
    changed = torch.tensor([0.0, 0.25]).repeat(3).expand(4, 6)
    one = torch.zeros(4, 6)
    for shades, intra, inter in ((kept, 0, math.log(4)), (changed, math.log(2), math.log(2)), (one, 0, 0)):
        clips = shades[:, :, None, None, None].expand(-1, -1, 1, 8, 8)
        found = measures.class_measures(Reader(), clips)
        assert found["intra_entropy"] == pytest.approx(intra, abs=1e-9)
        assert found["inter_entropy"] == pytest.approx(inter, abs=1e-9)
        assert found["inception_score"] == pytest.approx(math.exp(inter - intra))


def test_motion_is_measured_in_pixels(digits):
    real = to_tensor(moving_digits(0, 6, digits).test)
    steps = measures.steps_of(real)
    torch.testing.assert_close(steps.abs(), torch.full_like(steps, STEP), atol=1e-3, rtol=0)
    found = measures.motion_measures(real)
    assert found["steps_right"] == 1
    assert 0.6 < found["direction_kept"] < 0.95  # walls turn, too
    assert measures.motion_measures(real[:, :1].expand_as(real))["steps_right"] == 0
    always = torch.ones(50, 20, 2)
    assert measures.directions_kl(always) == pytest.approx(math.log(4))
    assert measures.uniform_directions(20) == pytest.approx(3 / 40, abs=0.01)


def test_all_measures_of_a_model(moving, cache, monkeypatch):
    """An untrained model does worse than real clips in every one of them."""
    monkeypatch.setattr(measures, "frozen_classifier", functools.partial(measures.frozen_classifier, steps=40))
    found = measures.clip_measures(model(moving), moving, cache, 20)
    floor = found["floor"]
    assert found["samples"] == 20
    assert found["steps_right"] < floor["steps_right"] == 1
    assert found["inception_score"] < floor["inception_score"] <= 2 + 1e-6
    assert found["best_of_8_squared_error"] > found["still_squared_error"] > 0
    assert found["direction_kl"] >= 0


def test_mistakes_are_named():
    for change in ({"given": 10}, {"frames": 0}, {"static_size": -1}, {"mixtures": 0}):
        with pytest.raises(UserError, match=next(iter(change)).replace("_", "-")):
            dataclasses.replace(preset("video"), **change).check()
    with pytest.raises(UserError, match="photos"):
        preset("video", "photos")
