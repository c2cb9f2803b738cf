"""Translators: their sizes, their objectives against closed forms, and their measures against naive ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rollouts.errors import UserError
from worldmodels.generative.measures.similarity import absolute_error, psnr, similarity, ssim
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.gan import GAMES
from worldmodels.generative.models.translation import Pix2PixConfig
from worldmodels.generative.networks.patchgan import HALVINGS, patchgan, patchgan_specs
from worldmodels.generative.networks.resnet_translator import resnet_translator
from worldmodels.generative.networks.spade import SpatiallyAdaptive
from worldmodels.generative.networks.translator import Translator
from worldmodels.generative.networks.unet import levels, unet
from worldmodels.generative.objectives import translation
from worldmodels.generative.objectives.gan import between_real_and_fake
from worldmodels.generative.objectives.perceptual import LAYERS, Perceptual
from worldmodels.generative.objectives.translation import Buffer, CycleGAN, Pix2Pix
from worldmodels.generative.objectives.units import Batch, Data, Part, Trainer
from worldmodels.layers import count_parameters, receptive_field
from worldmodels.training.distributed import Ranks
from worldmodels.training.randomness import generator_for


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.1)


def adam(rate: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda module: torch.optim.Adam(module.parameters(), lr=rate, betas=(0.5, 0.9))


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=generator_for(7, seed)) * 2 - 1


def batch_of(x: Tensor, condition: Tensor | None = None, other: Tensor | None = None, seed: int = 0) -> Batch:
    return Batch(x, None, generator_for(1, seed), condition, other)


# Networks


def unet_by_hand(size: int, channels: int, out: int, width: int) -> int:
    """Weights of 4x4 kernels; two numbers per channel of a batch normalisation; a bias only at the very end."""
    count = int(math.log2(size))
    filters = [min(width * 2**level, 8 * width) for level in range(count)]
    down = sum(16 * a * b for a, b in zip([channels, *filters], filters, strict=False))
    up = 16 * filters[-1] * filters[-2] + sum(32 * a * b for a, b in pairwise(filters[:-1]))
    norms = 2 * sum(filters[1:-1]) + 2 * sum(filters[:-1])
    return down + up + 16 * 2 * filters[0] * out + out + norms


@pytest.mark.parametrize(("size", "published"), [(256, 54_413_955), (128, 41_828_995)])
def test_the_unet_has_as_many_parameters_as_pix2pixs(size, published):
    with torch.device("meta"):
        network = unet(size, 3, 3, 64, nn.BatchNorm2d)
    assert count_parameters(network) == published == unet_by_hand(size, 3, 3, 64)


@pytest.mark.parametrize(("blocks", "published"), [(9, 11_378_179), (6, 7_837_699)])
def test_the_residual_translator_has_as_many_parameters_as_cyclegans(blocks, published):
    by_hand = 49 * 3 * 64 + 64 + 9 * 64 * 128 + 128 + 9 * 128 * 256 + 256 + blocks * 2 * (9 * 256 * 256 + 256)
    by_hand += 9 * 256 * 128 + 128 + 9 * 128 * 64 + 64 + 49 * 64 * 3 + 3
    with torch.device("meta"):
        network = resnet_translator(256, 3, 3, 64, blocks)
    assert count_parameters(network) == published == by_hand


def test_the_critics_have_as_many_parameters_as_published():
    middle = 16 * (64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert count_parameters(patchgan(256, 3)) == 2_764_737 == 16 * 3 * 64 + 64 + middle + 128 + 256 + 512 + 1
    pairs = patchgan(256, 6, norm=nn.BatchNorm2d, bias=False)
    assert count_parameters(pairs) == 2_768_705 == 16 * 6 * 64 + 64 + middle + 2 * (128 + 256 + 512) + 1


@pytest.mark.parametrize("patch", HALVINGS)
def test_patches_are_as_large_as_they_are_called(patch):
    assert receptive_field(patchgan_specs(4, None, patch)) == (patch, 2 ** HALVINGS[patch])


@pytest.mark.parametrize(("size", "count"), [(256, 8), (64, 6), (96, 5), (28, 2)])
def test_translators_give_pictures_of_their_size(size, count):
    assert levels(size) == count
    x = pictures(1, 2, size, size)
    for network in (unet(size, 2, 3, 2), resnet_translator(size, 2, 3, 2, 1), unet(size, 2, 3, 2, None)):
        output = network(x)
        assert output.shape == (1, 3, size, size)
        assert output.abs().max() <= 1
    with pytest.raises(ValueError, match="resize them to a multiple of 4"):
        levels(30)
    with pytest.raises(ValueError, match="such as 32"):
        resnet_translator(30, 3, 3)


def test_details_go_across_a_unet_and_not_through_its_waist():
    network = unet(16, 1, 1, 4, dropout=0.0).eval()
    for up in list(network.ups)[:-1]:  # nothing comes up from below
        nn.init.zeros_(up[1].weight)
    x = pictures(1, 1, 16, 16)
    changed = x.clone()
    changed[0, 0, 5, 5] += 1
    far = (network(changed) - network(x)).abs()[0, 0]
    assert far.max() > 1e-6
    assert far[:2].max() == far[:, 10:].max() == 0  # 4x4 down and up see no further


def test_a_translator_begins_with_its_input_and_keeps_what_is_known():
    body = nn.Conv2d(4, 3, 1)
    nn.init.zeros_(body.weight)
    nn.init.constant_(body.bias, 0.25)
    condition = torch.cat([pictures(2, 3, 4, 4), torch.full((2, 1, 4, 4), -1.0)], 1)
    condition[:, 3, :2] = 1  # the upper half is to be made
    output = Translator(body, 3, begins=True, holes=True)(condition)
    torch.testing.assert_close(output[:, :, :2], condition[:, :3, :2] + 0.5)
    assert torch.equal(output[:, :, 2:], condition[:, :3, 2:])
    grey = nn.Conv2d(1, 3, 1)
    nn.init.zeros_(grey.weight)
    nn.init.zeros_(grey.bias)
    x = pictures(2, 1, 4, 4)
    assert torch.equal(Translator(grey, 3, begins=True)(x), x.expand(-1, 3, -1, -1))


# pix2pix


class LinearCritic(nn.Module):
    """A critic of known logits: the input's planes, minus twice the picture's, a map of one pixel each."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.planes, self.scale = planes, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x[:, : self.planes].sum(1, keepdim=True) - 2 * x[:, self.planes :].sum(1, keepdim=True))


class Affine(nn.Module):
    def __init__(self, gain: float, shift: float) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.tensor(gain)), nn.Parameter(torch.tensor(shift))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x + self.shift


@pytest.mark.parametrize("name", GAMES)
def test_pix2pix_plays_any_game_on_inputs_beside_pictures(name):
    game = Pix2Pix(Affine(0.5, 0.1), LinearCritic(1), GAMES[name], sgd, sgd, 100.0)
    condition, x = pictures(4, 1, 3, 3), pictures(4, 1, 3, 3, seed=1)
    fake = 0.5 * condition + 0.1
    real_logits, fake_logits = condition - 2 * x, condition - 2 * fake
    batch = batch_of(x, condition)
    critic = game.critic_loss(batch)
    torch.testing.assert_close(critic.total, GAMES[name].critic(real_logits, fake_logits).total)
    loss = game.generator_loss(batch)
    expected = GAMES[name].generator(fake_logits) + 100 * (fake - x).abs().mean()
    torch.testing.assert_close(loss.total, expected)


def test_data_without_inputs_are_refused_before_a_network_is_built():
    with pytest.raises(UserError, match="pictures to start from are needed"):
        build(Pix2PixConfig(inputs="somewhere"), Shape(32, 3), torch.device("cpu"))


def test_the_penalty_is_on_the_slope_in_the_picture_alone():
    game = Pix2Pix(Affine(1.0, 0.0), LinearCritic(2), GAMES["wasserstein"], sgd, sgd, penalty=between_real_and_fake)
    batch = batch_of(pictures(4, 1, 3, 3), pictures(4, 2, 3, 3, seed=1))
    game.generator = nn.Conv2d(2, 1, 1)
    # The mean of nine logits, each falling by 2 per unit of its pixel: a slope of (9 * (2 / 9)^2)^0.5 = 2 / 3.
    assert game.critic_loss(batch).terms["penalty"].item() == pytest.approx((2 / 3 - 1) ** 2, abs=1e-5)


def regression(swapped: bool) -> tuple[Tensor, Tensor]:
    """What a linear generator learns of noisy colours under squared error, and the least-squares solution."""
    torch.manual_seed(0)
    condition = pictures(32, 2, 3, 3)
    x = torch.einsum("ij,njhw->nihw", torch.tensor([[1.0, -0.5], [0.3, 0.8], [0.0, 0.4]]), condition)[:, :2] + 0.2
    x = x + 0.5 * pictures(32, 2, 3, 3, seed=1)
    generator = nn.Conv2d(2, 2, 1)
    game = Pix2Pix(generator, None, GAMES["minimax"], adam(0.1), adam(0.1), 1.0, "squared")
    data = Data(condition, None, x) if swapped else Data(x, None, condition)
    trainer = Trainer(game.units(), lambda number: data, 0, lambda step: 1 - step / 150)
    for step in range(150):
        trainer(step)
    rows = torch.cat([condition.movedim(1, -1).reshape(-1, 2), torch.ones(32 * 9, 1)], 1)
    solution = torch.linalg.lstsq(rows, x.movedim(1, -1).reshape(-1, 2)).solution
    return torch.cat([generator.weight[:, :, 0, 0], generator.bias[:, None]], 1).detach(), solution.T


def test_a_linear_generator_under_squared_error_is_least_squares():
    learnt, solution = regression(swapped=False)
    torch.testing.assert_close(learnt, solution, atol=1e-3, rtol=0)
    swapped, _ = regression(swapped=True)  # noise in the input: another line
    assert (swapped - solution).abs().max() > 0.1


# CycleGAN


def cycle(there: nn.Module, back: nn.Module, **options: float) -> CycleGAN:
    return CycleGAN(there, back, (LinearCritic(0), LinearCritic(0)), sgd, sgd, **options)


def test_identity_translators_lose_nothing():
    terms = cycle(nn.Identity(), Affine(1.0, 0.0)).generator_loss(
        batch_of(pictures(4, 3, 2, 2), None, pictures(4, 3, 2, 2, seed=1))
    )
    assert terms.terms["cycle"] == terms.terms["identity"] == 0


def test_cyclegans_loss_by_hand():
    """There: 2 y, back: x - 1 / 4; least squares, 10 cycle + 5 identity."""
    x, y = pictures(4, 1, 3, 3), pictures(4, 1, 3, 3, seed=1)
    game = cycle(Affine(2.0, 0.0), Affine(1.0, -0.25))
    loss = game.generator_loss(batch_of(x, None, y))
    fake_x, other = 2 * y, x - 0.25
    adversarial = sum(0.5 * (-2 * fake - 1).square().mean() for fake in (fake_x, other))
    cycles = (2 * other - x).abs().mean() + (fake_x - 0.25 - y).abs().mean()
    identity = (2 * x - x).abs().mean() + 0.25
    torch.testing.assert_close(loss.total, adversarial + 10 * cycles + 5 * identity)
    critic = game.critic_loss(batch_of(x, None, y))
    sides = ((x, fake_x), (y, other))
    expected = sum(0.5 * (-2 * a - 1).square().mean() + 0.5 * (2 * b).square().mean() for a, b in sides)
    torch.testing.assert_close(critic.total, expected)
    # The other way round, with all roles exchanged, nothing changes.
    mirrored = cycle(Affine(1.0, -0.25), Affine(2.0, 0.0)).generator_loss(batch_of(y, None, x))
    torch.testing.assert_close(mirrored.total, loss.total)


def test_the_buffer_fills_up_and_then_exchanges_half():
    buffer = Buffer(50)
    first = torch.arange(50.0)[:, None]
    assert torch.equal(buffer.exchange(first, batch_of(first)), first)
    later = torch.arange(50.0, 1050)[:, None]
    shown = buffer.exchange(later, batch_of(later))
    old = (shown != later).float().mean().item()
    assert 0.45 < old < 0.55
    assert shown.unique().numel() == 1000  # nothing is given back twice
    pool = torch.stack(buffer.pool)
    assert torch.equal(torch.cat([shown, pool]).sort(0).values, torch.cat([first, later]))  # nothing gets lost
    again = Buffer(50)
    again.load_state_dict(buffer.state_dict())
    more = pictures(20, 1)
    assert torch.equal(again.exchange(more, batch_of(more)), buffer.exchange(more, batch_of(more)))
    assert torch.equal(Buffer(0).exchange(more, batch_of(more)), more)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_one_buffer(count, monkeypatch):
    """Each gets its part of what one process would get, and all keep the same pool, whoever saves it."""
    alone, pools = Buffer(8), [Buffer(8) for _ in range(count)]
    for step in range(6):
        fakes = torch.randn(7, 1, 2, 2, generator=generator_for(0, step))
        monkeypatch.setattr(Ranks, "join", lambda self, part, size, fakes=fakes: fakes.clone())
        expected = alone.exchange(fakes, Batch(fakes, None, generator_for(1, step)))
        shown = []
        for rank, pool in enumerate(pools):
            own = Ranks(rank, count).part(7)
            batch = Batch(fakes[own], None, generator_for(1, step), part=Part(own.start, 7))
            shown.append(pool.exchange(fakes[own], batch))
        assert torch.equal(torch.cat(shown), expected)
    assert not torch.equal(expected, fakes)
    for pool in pools:
        assert all(torch.equal(a, b) for a, b in zip(pool.pool, alone.pool, strict=True))


MIX = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.8, -0.3], [0.2, 0.0, 0.9]])
SHIFT = torch.tensor([0.3, -0.2, 0.1])


def colours(seed: int) -> Tensor:
    """Pictures of one pixel, of colours whose distribution no other affine map leaves as it is."""
    red, green, blue = torch.rand(3, 64, generator=generator_for(0, seed))
    return (torch.stack([red**3, (red + green**2) / 2, blue**0.5], 1) * 2 - 1)[:, :, None, None]


def hidden(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels, 32, 1), nn.LeakyReLU(0.2)


@pytest.mark.slow
def test_cyclegan_finds_an_invertible_colour_map():
    """Without one pair: linear translators that begin as the identity, which is off by 0.3."""
    torch.manual_seed(0)
    there, back = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    for part in (there, back):
        nn.init.dirac_(part.weight)
        nn.init.zeros_(part.bias)
    critics = [
        nn.Sequential(*hidden(3), *hidden(32), nn.Conv2d(32, 1, 1))
        for _ in range(2)
    ]
    options = {"cycle_weight": 1.0, "identity_weight": 0.0, "average_decay": 0.98}
    game = CycleGAN(there, back, (critics[0], critics[1]), adam(0.02), adam(0.02), **options)

    def batches(number: int) -> Data:
        mapped = torch.einsum("ij,njhw->nihw", MIX, colours(2 * number)) + SHIFT[:, None, None]
        return Data(mapped, None, None, colours(2 * number + 1))

    trainer = Trainer(game.units(), batches, 0, lambda step: 1 - step / 500)
    for step in range(500):
        trainer(step)
    found, returned = game.average.network["there"], game.average.network["back"]
    assert (found.weight[:, :, 0, 0] - MIX).abs().max() < 0.15
    assert (found.bias - SHIFT).abs().max() < 0.1
    assert (returned.weight[:, :, 0, 0] @ MIX - torch.eye(3)).abs().max() < 0.2


# Measures


def naive_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """One channel, window by window."""
    place = np.arange(11) - 5
    bell = np.exp(-(place[:, None] ** 2 + place**2) / (2 * 1.5**2))
    bell /= bell.sum()
    values = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mp, mq = (bell * p).sum(), (bell * q).sum()
            vp, vq = (bell * (p - mp) ** 2).sum(), (bell * (q - mq) ** 2).sum()
            shared = (bell * (p - mp) * (q - mq)).sum()
            top = (2 * mp * mq + 1e-4) * (2 * shared + 9e-4)
            values.append(top / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    return float(np.mean(values))


def test_ssim_is_what_a_loop_over_windows_gives():
    x, y = (pictures(2, 3, 14, 13, seed=seed).double() / 2 + 0.5 for seed in (0, 1))
    y = 0.6 * x + 0.4 * y
    loops = [[naive_ssim(x[i, c].numpy(), y[i, c].numpy()) for c in range(3)] for i in range(2)]
    torch.testing.assert_close(ssim(y, x), torch.tensor(loops).double().mean(1))
    assert ssim(x, x).tolist() == pytest.approx([1, 1])
    with pytest.raises(ValueError, match="11x11"):
        ssim(x[..., :8], x[..., :8])


def test_ssim_is_what_scikit_image_gives():
    """0.26.0: structural_similarity(x, y, channel_axis=-1, gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=1.0) of these arrays."""
    rng = np.random.default_rng(0)
    x = rng.random((40, 37, 3))
    y = np.clip(0.7 * x + 0.3 * rng.random(x.shape), 0, 1)
    parts = [torch.from_numpy(part).movedim(-1, 0)[None] for part in (x, y)]
    assert ssim(*parts).item() == pytest.approx(0.8812842221343401, abs=1e-9)


def test_error_and_psnr_in_closed_form():
    x = torch.full((2, 3, 8, 8), 0.5)
    output = x + torch.tensor([0.1, -0.01])[:, None, None, None]
    assert absolute_error(output, x).tolist() == pytest.approx([0.1, 0.01], rel=1e-4)
    assert psnr(output, x).tolist() == pytest.approx([20, 40], rel=1e-4)
    assert psnr(x, x).tolist() == [100, 100]
    assert set(similarity(output, x)) == {"l1", "psnr"}  # no window fits


# The perceptual term


def random_vgg() -> dict[str, Tensor]:
    filters, found = 3, {}
    for layer, count in zip(LAYERS, (64, 64, 128, 128, 256, 256, 256), strict=True):
        found[f"features.{layer}.weight"] = pictures(count, filters, 3, 3, seed=layer) * (2 / filters**0.5)
        found[f"features.{layer}.bias"] = pictures(count, seed=100 + layer)
        filters = count
    return found


def test_the_perceptual_distance_is_between_vggs_features():
    tensors = random_vgg()
    layers: list[nn.Module] = []
    for layer in range(16):  # VGG-16 as a stack, to relu3_3
        if layer in LAYERS:
            weight = tensors[f"features.{layer}.weight"]
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            conv.load_state_dict({"weight": weight, "bias": tensors[f"features.{layer}.bias"]})
            layers.append(conv)
        else:
            layers.append(nn.MaxPool2d(2) if layer in (4, 9) else nn.ReLU())
    stack = nn.Sequential(*layers)
    output, x = pictures(2, 3, 8, 8), pictures(2, 3, 8, 8, seed=1)
    mean, sd = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    distances = []
    for last in (4, 9, 16):
        seen = [stack[:last](((part + 1) / 2 - mean) / sd) for part in (output, x)]
        distances.append((seen[0] - seen[1]).square().mean())
    perceptual = Perceptual(tensors)
    torch.testing.assert_close(perceptual(output, x), torch.stack(distances).mean())
    assert perceptual(x, x) == 0
    game = Pix2Pix(Affine(1.0, 0.0), None, GAMES["minimax"], sgd, sgd, 0.0, perceptual=lambda: perceptual)
    game.units()
    loss = game.generator_loss(batch_of(x, output))
    torch.testing.assert_close(loss.total, perceptual(output, x))
    assert all(not weight.requires_grad for weight in perceptual.weights)


def test_a_distance_knows_both_errors():
    a, b = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0])
    assert translation.distance(a, b, "l1") == 2
    assert translation.distance(a, b, "squared") == 5


# GauGAN's translator


def test_what_a_normalisation_washes_away_a_spatially_adaptive_one_keeps():
    """A map that is the same everywhere says what all of the picture is; after instance normalisation nothing is left
    of it, which is why Park et al. (2019, section 3.2) tell every normalisation again."""
    torch.manual_seed(0)
    plans = torch.zeros(2, 3, 8, 8)
    plans[0, 0], plans[1, 1] = 1, 1  # all sky, all road
    first = nn.Conv2d(3, 4, 1)
    washed = nn.InstanceNorm2d(4)(first(plans))
    torch.testing.assert_close(washed[0], washed[1], atol=1e-3, rtol=0)
    layer = SpatiallyAdaptive(4, 3, nn.InstanceNorm2d)
    kept = layer(first(plans), plans)
    assert (kept[0] - kept[1]).abs().max() > 0.05
    x = torch.randn(2, 4, 4, 4)
    for part in (layer.gamma, layer.beta):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    torch.testing.assert_close(layer(x, plans), nn.InstanceNorm2d(4)(x))
    nn.init.constant_(layer.gamma.bias, 1.0)
    nn.init.constant_(layer.beta.bias, 3.0)
    torch.testing.assert_close(layer(x, plans), 2 * nn.InstanceNorm2d(4)(x) + 3)


@pytest.mark.parametrize(("size", "norm"), [(32, "instance"), (48, "batch")])
def test_a_spade_makes_pictures_of_maps(size, norm):
    config = Pix2PixConfig(translator="spade", norm=norm, width=4, pairs="road")
    model = build(config, Shape(size, 3), torch.device("cpu"))
    plan = torch.rand(2, 1, size, size)
    once, again, other = (model.draw(2, generator_for(0, seed), plan) for seed in (1, 1, 2))
    assert once.shape == (2, 3, size, size)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)  # dropout is its noise
    loss = model.game.generator_loss(batch_of(once, 2 * plan - 1))
    loss.total.backward()
    assert all(part.grad is not None for part in model.game.generator.parameters())
    with pytest.raises(UserError, match="nothing to a spade"):
        Pix2PixConfig(translator="spade", blocks=9, pairs="road").check()
