"""Mirrored and cut pictures that might be in the data; disturbances that only a critic sees."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from rollouts.errors import UserError
from worldmodels.generative.data.augment import augment
from worldmodels.generative.data.batches import Batches
from worldmodels.generative.data.samples import Samples
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.objectives.augment import (
    HIGHEST,
    SWING,
    AdaptiveAugment,
    colour,
    cutout,
    diffaugment,
    quarter_turn,
    translation,
)
from worldmodels.generative.objectives.units import Batch
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")


def batch(count: int = 64, side: int = 8, channels: int = 3) -> Batch:
    x = torch.rand(count, channels, side, side, generator=generator_for(3, 0)) * 2 - 1
    return Batch(x, None, generator_for(0, 0))


# Of the data


def test_half_are_mirrored_together_with_what_belongs_to_them():
    x = batch(400).x
    augmented, beside = augment([x, 10 * x], generator_for(0, 0), flip=True, crop=0.0)
    mirrored = torch.tensor([torch.equal(a, b.flip(-1)) for a, b in zip(augmented, x, strict=True)])
    unchanged = torch.tensor([torch.equal(a, b) for a, b in zip(augmented, x, strict=True)])
    assert (mirrored ^ unchanged).all()
    assert 0.4 < mirrored.double().mean() < 0.6
    torch.testing.assert_close(beside, 10 * augmented)


def test_a_cut_is_a_part_of_the_picture_enlarged_without_a_border():
    """Of a ramp, a ramp that is less steep by the share that was kept, and no value that was not there."""
    side = 32
    ramp = ((torch.arange(side) + 0.5) / side).expand(200, 1, side, side)
    (augmented,) = augment([ramp], generator_for(0, 0), flip=False, crop=0.25)
    inner = augmented[:, 0, :, 2:-2]
    slopes = (inner[..., -1] - inner[..., 0]) / (inner.shape[-1] - 1) * side
    assert slopes.min() >= 0.75 - 1e-3
    assert slopes.max() <= 1 + 1e-3
    assert slopes[:, 0].std() > 0.05
    torch.testing.assert_close(inner, inner[:, :1].expand_as(inner), atol=1e-5, rtol=0)
    assert augmented.min() >= ramp.min() - 1e-6
    assert augmented.max() <= ramp.max() + 1e-6
    centres = augmented.mean((1, 2, 3))
    assert centres.min() < 0.45 < 0.55 < centres.max()  # also off the middle


def test_augmented_batches_are_pure_and_their_conditions_are_made_of_what_is_seen():
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    samples = Samples("x", pixels, pixels[:2], np.arange(40) % 2, np.zeros(2, np.int64), ("a", "b"))
    options = {"condition_of": lambda x, rng: x.mean(1, keepdim=True), "flip": True, "crop": 0.1}
    one, two = (Batches(samples, 8, 0, CPU, -1.0, **options) for _ in range(2))
    plain = Batches(samples, 8, 0, CPU, -1.0)
    for number in (3, 0):
        assert torch.equal(one(number).x, two(number).x)
        assert torch.equal(one(number).labels, plain(number).labels)
        assert not torch.equal(one(number).x, plain(number).x)
        torch.testing.assert_close(one(number).condition, one(number).x.mean(1, keepdim=True))
    paired = dataclasses.replace(samples, train_condition=pixels[..., :1], test_condition=pixels[:2, ..., :1])
    data = Batches(paired, 8, 0, CPU, **options)(0)
    torch.testing.assert_close(data.condition, data.x[:, :1])


# Of what a critic sees


def test_pictures_are_moved_by_whole_pixels_and_filled_with_grey():
    seen = batch(300, side=16)
    moved = translation(seen.x, seen)
    padded = torch.nn.functional.pad(seen.x, (2, 2, 2, 2))
    found = set()
    for before, after in zip(padded, moved, strict=True):
        places = [(i, j) for i in range(5) for j in range(5) if torch.equal(before[:, i : i + 16, j : j + 16], after)]
        assert len(places) == 1
        found |= set(places)
    assert len(found) == 25  # all shifts of up to an eighth of the side


def test_a_hole_is_square_and_half_inside_at_least():
    seen = batch(300)
    augmented = cutout(seen.x, seen)
    gone = (augmented == 0).all(1)
    assert torch.equal(augmented, torch.where(gone[:, None], torch.zeros(()), seen.x))
    counts = gone.sum((1, 2))
    assert (counts.min(), counts.max()) == (4, 16)
    for picture in gone:
        rows, columns = picture.any(1), picture.any(0)
        assert torch.equal(picture, rows[:, None] & columns[None])


def test_colours_change_as_published():
    flat = Batch(torch.full((20_000, 3, 2, 2), 0.25), None, generator_for(0, 0))
    brighter = colour(flat.x, flat)
    assert torch.allclose(brighter.amin((1, 2, 3)), brighter.amax((1, 2, 3)), atol=1e-6)
    shift = brighter[:, 0, 0, 0] - 0.25
    assert shift.min() >= -0.5
    assert shift.max() <= 0.5
    assert shift.std().item() == pytest.approx(12**-0.5, rel=0.02)
    seen = batch(2000)
    changed, same = colour(seen.x, seen), seen.x - seen.x.mean((1, 2, 3), keepdim=True)
    centred = changed - changed.mean((1, 2, 3), keepdim=True)
    ratio = centred.mean(1).flatten(1).norm(dim=1) / same.mean(1).flatten(1).norm(dim=1)  # contrast, of the greys
    assert 0.5 <= ratio.min() < 0.55
    assert 1.45 < ratio.max() <= 1.5


def test_gradients_pass_through():
    seen = batch(4)
    x = seen.x.clone().requires_grad_(True)
    diffaugment(x, seen, "all").sum().backward()
    assert x.grad.abs().sum() > 0


def test_the_critic_sees_both_sides_disturbed_and_samples_are_not():
    """A disturbance of real pictures only would be learnt: here, adding 5 to whatever is shown."""
    shown = []
    config = dataclasses.replace(preset("gan", "tiny"), diffaugment="colour", penalty="gradient")
    model = build(config, Shape(16, 3), CPU)
    model.game.augment = lambda x, batch: x + 5
    model.game.critic.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0].detach()))
    seen = batch(4, side=16)
    model.game.critic_loss(seen)
    model.game.generator_loss(seen)
    assert [len(part) for part in shown] == [8, 4, 4]  # real and fake, what is penalised, fakes again
    assert min(part.min() for part in shown) > 3.9
    augmented = model.draw(4, generator_for(0, 0))
    assert augmented.min() >= 0
    assert augmented.max() <= 1


def test_the_autoencoder_of_began_sees_both_sides_disturbed():
    shown = []
    model = build(dataclasses.replace(preset("began", "tiny"), diffaugment="colour"), Shape(16, 3), CPU)
    model.game.augment = lambda x, batch: x + 5
    model.game.critic.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0].detach()))
    model.game.critic_loss(batch(4, side=16))
    model.game.generator_loss(batch(4, side=16))
    assert len(shown) == 3
    assert min(part.min() for part in shown) > 3.9


def test_real_and_fake_have_disturbances_of_their_own():
    config = dataclasses.replace(preset("gan", "tiny"), diffaugment="translation")
    game = build(config, Shape(16, 3), CPU).game
    seen = batch(32, side=16)
    one, two = game.shown(seen.x, seen), game.shown(seen.x, seen)
    assert not torch.equal(one, two)


def test_points_are_not_augmented():
    for options in ({"flip": True}, {"crop": 0.1}, {"diffaugment": "all"}):
        for name in ("gan", "began"):
            with pytest.raises(UserError, match=r"[Pp]oints"):
                dataclasses.replace(preset(name, points=True), **options).check_networks(points=True)
    with pytest.raises(UserError, match=r"--crop must be in \[0, 1\)"):
        dataclasses.replace(preset("gan"), crop=1.0).check()


@pytest.mark.parametrize("name", ["sngan", "vae", "wgan-gp", "began"])
def test_the_preset_for_photos_augments_and_fits(name):
    config = preset(name, "photos")
    config.check()
    config.check_networks(points=False)
    assert (config.flip, config.size) == (True, 64)
    build(config, Shape(64, 3), CPU)


@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("architecture", ["dcgan", "dcgan-resize", "resnet", "patchgan"])
def test_large_pictures(architecture, size):
    config = dataclasses.replace(preset("gan"), architecture=architecture, width=2, latent_size=8)
    model = build(config, Shape(size, 3), CPU)
    augmented = model.draw(2, generator_for(0, 0))
    assert augmented.shape == (2, 3, size, size)
    assert torch.isfinite(model.game.critic(augmented)).all()
    vae = build(dataclasses.replace(preset("vae"), width=2), Shape(size, 3), CPU)
    assert vae.decode(vae.encode(augmented[:1], None), None).shape == (1, 3, size, size)


# As much as the critic needs


def test_the_disturbance_follows_how_sure_the_critic_is():
    adaptive, seen = AdaptiveAugment(), batch(50)
    assert torch.equal(adaptive(seen.x, seen), seen.x)  # at first, nothing is disturbed
    for _ in range(10):
        adaptive.observe(torch.ones(50, 1), seen)
    assert adaptive.probability.item() == pytest.approx(10 * 50 / SWING)
    for logits in (torch.zeros(50, 1), torch.linspace(-0.17, 0.83, 50)[:, None]):  # 41 above 0, 9 below: r = 0.64
        adaptive.observe(logits, seen)
    assert adaptive.probability.item() == pytest.approx(10 * 50 / SWING)
    for _ in range(20):
        adaptive.observe(-torch.ones(50, 1), seen)
    assert adaptive.probability.item() == 0
    adaptive.probability = torch.tensor(0.7999)
    for _ in range(3):
        adaptive.observe(torch.ones(50, 1, 4, 4), seen)  # logits of patches
    assert adaptive.probability.item() == pytest.approx(HIGHEST)
    other = AdaptiveAugment()
    other.load_state_dict(adaptive.state_dict())
    assert torch.equal(other.probability, adaptive.probability)


def test_as_many_pictures_are_disturbed_as_the_probability_says():
    adaptive, seen = AdaptiveAugment(), batch(2000)
    adaptive.probability = torch.tensor(0.3)
    augmented = adaptive(seen.x, seen)
    same = (augmented == seen.x).all((1, 2, 3)).double().mean().item()
    # Each of four strikes with 0.3; half of the mirrorings, and a quarter of the turns, leave a picture as it is.
    still = [1 - 0.3 * 0.5, 1 - 0.3 * 0.75, 1 - 0.3 * (1 - 1 / 9), 1 - 0.3]
    assert same == pytest.approx(np.prod(still), abs=0.04)
    x = seen.x.clone().requires_grad_(True)
    adaptive(x, seen).sum().backward()
    assert x.grad.abs().sum() > 0


def test_quarter_turns_are_all_four():
    seen = batch(200)
    turned = quarter_turn(seen.x, seen)
    found = [
        [number for number in range(4) if torch.equal(before.rot90(number, (1, 2)), after)]
        for before, after in zip(seen.x, turned, strict=True)
    ]
    assert all(len(numbers) == 1 for numbers in found)
    assert {numbers[0] for numbers in found} == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["gan", "sngan", "acgan"])
def test_an_adaptive_disturbance_is_saved_logged_and_never_in_samples(name):
    config = dataclasses.replace(preset(name, "tiny"), diffaugment="adaptive")
    config.check_networks(points=False)
    model = build(config, Shape(16, 3, 2), CPU)
    plain = build(dataclasses.replace(config, diffaugment="none"), Shape(16, 3, 2), CPU)
    adaptive = model.parts()["adaptive"]
    adaptive.probability = torch.tensor(0.8)
    assert torch.equal(model.draw(4, generator_for(0, 0)), plain.draw(4, generator_for(0, 0)))
    shown = []
    model.game.critic.body[0].register_forward_pre_hook(lambda module, inputs: shown.append(inputs[0].detach()))
    seen = batch(16, side=16)._replace(labels=torch.arange(16) % 2)
    loss = model.game.critic_loss(seen)
    assert loss.terms["disturbed"] == adaptive.probability != 0.8
    assert (shown[0][:16] != seen.x).flatten(1).any(1).double().mean() > 0.6  # the data that the critic sees


def test_an_adaptive_disturbance_needs_logits_with_a_sign():
    with pytest.raises(UserError, match="Wasserstein critic may move"):
        dataclasses.replace(preset("wgan-gp"), diffaugment="adaptive").check_networks(points=False)
