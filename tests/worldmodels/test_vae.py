"""V against sums done by hand, and against torch's own distributions and layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from worldmodels import ConvVAE
from worldmodels.layers import conv_size, transposed_conv_size
from worldmodels.vae import (
    fast_encoder,
    kl_to_standard_normal,
    motion_weights,
    reconstruction_error,
    reparameterise,
    vae_loss,
)


def test_the_kl_is_that_of_torch_distributions():
    mean, logvar = torch.randn(50, 8, dtype=torch.float64), torch.randn(50, 8, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(torch.zeros_like(mean), 1.0))
    torch.testing.assert_close(kl_to_standard_normal(mean, logvar), expected)


def test_the_loss_by_hand():
    frames, reconstruction = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    reconstruction[0, 0, 0, 0], reconstruction[0, 2, 1, 1] = 0.5, 1.0  # summed squared error 1.25 and 0
    mean = torch.tensor([[2.0, 4.0], [0.0, 0.0]])  # KL at unit variance: 2 + 8 and 0
    loss = vae_loss(reconstruction, frames, mean, torch.zeros(2, 2), kl_floor=0.5)
    assert reconstruction_error(reconstruction, frames).tolist() == [1.25, 0.0]
    assert loss.reconstruction.item() == pytest.approx(0.625)
    assert loss.kl.item() == pytest.approx(5.0)
    # The floor of 0.5 x 2 nats lifts the second frame to 1: (1.25 + 10 + 0 + 1) / 2, not max(mean KL, 1).
    assert loss.total.item() == pytest.approx(6.125)


def test_the_floor_is_on_the_summed_kl_of_a_frame_and_not_on_each_unit():
    mean = torch.tensor([[2.0, 0.0, 0.0, 0.0]])  # 2 nats in one unit: exactly 0.5 x 4
    frames, logvar = torch.zeros(1, 3, 2, 2), torch.zeros(1, 4)
    assert vae_loss(frames, frames, mean, logvar, 0.5).total.item() == pytest.approx(2.0)


@pytest.mark.parametrize(("scale", "presses"), [(0.5, False), (2.0, True)])
def test_below_the_floor_the_kl_has_no_gradient(scale, presses):
    mean = torch.full((3, 4), scale, requires_grad=True)  # 0.5 or 8 nats a frame, against a floor of 2
    frames = torch.zeros(3, 3, 2, 2)
    vae_loss(frames, frames, mean, torch.zeros(3, 4), 0.5).total.backward()
    assert bool(mean.grad.any()) == presses


@pytest.mark.parametrize(("latent_size", "parameters"), [(32, 4_348_547), (64, 4_446_915)])
def test_parameters_are_as_many_as_in_the_paper(latent_size, parameters):
    vae = ConvVAE(latent_size)
    assert sum(p.numel() for p in vae.parameters()) == parameters
    if latent_size == 32:
        decoder = sum(p.numel() for part in (vae.expand, vae.decoder) for p in part.parameters())
        assert (parameters - decoder, decoder) == (755_744, 3_592_803)


def test_frames_go_in_and_come_out_between_0_and_1():
    vae, frames = ConvVAE(8), torch.rand(2, 3, 64, 64)
    reconstruction, mean, logvar = vae(frames, torch.randn(2, 8))
    assert reconstruction.shape == frames.shape
    assert mean.shape == logvar.shape == (2, 8)
    assert 0 <= reconstruction.min() < reconstruction.max() <= 1


def test_memory_format_does_not_change_what_v_sees():
    vae, frames = ConvVAE(8), torch.rand(2, 3, 64, 64)
    before = vae.encode(frames)[0]
    torch.testing.assert_close(vae.on("cpu").encode(frames)[0], before, rtol=1e-4, atol=1e-5)


def test_a_torch_without_onednn_has_no_fast_encoder(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert fast_encoder(ConvVAE(8)) is None


def test_a_sample_has_the_mean_and_the_standard_deviation():
    z = reparameterise(torch.tensor(3.0), torch.tensor(4.0).log(), torch.randn(100_000))
    assert z.mean().item() == pytest.approx(3.0, abs=0.03)
    assert z.std().item() == pytest.approx(2.0, abs=0.03)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(64, 4, 2, 0), (31, 4, 2, 0), (9, 3, 1, 1), (10, 5, 3, 2)]
)
def test_size_arithmetic_is_that_of_torch(size, kernel, stride, padding):
    picture = torch.zeros(1, 1, size, size)
    assert nn.Conv2d(1, 1, kernel, stride, padding)(picture).shape[-1] == conv_size(size, kernel, stride, padding)
    up = nn.ConvTranspose2d(1, 1, kernel, stride, padding)(picture).shape[-1]
    assert up == transposed_conv_size(size, kernel, stride, padding)


def test_pixels_that_move_weigh_more_as_a_naive_loop_has_it():
    rng = np.random.default_rng(0)
    frames, earlier, guess = (torch.tensor(rng.random((2, 3, 4, 4)), dtype=torch.float64) for _ in range(3))
    error = reconstruction_error(guess, frames, motion_weights(frames, earlier, 8.0))
    for picture in range(2):
        total = 0.0
        for place in np.ndindex(3, 4, 4):
            now, before, said = (float(part[picture][place]) for part in (frames, earlier, guess))
            total += (1 + 8 * abs(now - before)) * (said - now) ** 2
        assert float(error[picture]) == pytest.approx(total)
