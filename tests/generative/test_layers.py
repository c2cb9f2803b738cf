"""Sizes, receptive fields and parameter counts of everything built from a spec."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from worldmodels.generative.networks import coders, dcgan, foster, patchgan, perceptrons, resnet
from worldmodels.layers import (
    ConvSpec,
    conv_size,
    conv_stack,
    count_parameters,
    initialise_normal,
    output_size,
    receptive_field,
    same_padding,
    start_size,
    transposed_conv_size,
)
from worldmodels.vae import DECODER, ENCODER, ConvVAE


@pytest.mark.parametrize("up", [None, "transposed", "resize"])
@pytest.mark.parametrize("padding", [0, 1, "same"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (5, 2), (5, 1), (6, 2), (7, 3)])
@pytest.mark.parametrize("size", [7, 12, 28])
def test_output_size_is_what_the_layers_give(size, kernel, stride, padding, up):
    spec = ConvSpec(2, kernel, stride, padding, up)
    stack, side = conv_stack(1, size, [spec])
    assert stack(torch.zeros(1, 1, size, size)).shape == (1, 2, side, side)
    assert side == output_size(size, spec)
    if padding == "same":
        assert side == (-(-size // stride) if up is None else size * stride)


def test_size_formulas():
    assert [conv_size(64, 4, 2), conv_size(31, 4, 2), conv_size(14, 4, 2), conv_size(6, 4, 2)] == [31, 14, 6, 2]
    assert [transposed_conv_size(1, 5, 2), transposed_conv_size(5, 5, 2), transposed_conv_size(13, 6, 2)] == [5, 13, 30]
    assert same_padding(28, 5, 2) == (1, 2)
    assert same_padding(14, 5, 2) == (1, 2)
    assert same_padding(7, 5, 2) == (2, 2)
    assert same_padding(8, 1, 2) == (0, 0)


def test_same_padding_puts_the_odd_pixel_right_and_below():
    """A kernel whose first tap alone is 1 reads pixel 2 i - 1: zero at the first place only."""
    (stack, _) = conv_stack(1, 28, [ConvSpec(1, 5, 2, "same", activation=None, bias=False)])
    kernel = torch.zeros(1, 1, 5, 5)
    kernel[..., 1, 1] = 1  # with one pixel of padding on the left, tap 1 reads pixel 2 i
    stack[-1].weight.data = kernel
    x = torch.rand(1, 1, 28, 28)
    assert torch.equal(stack(x), x[:, :, ::2, ::2])


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (5, 2), (5, 1), (3, 1), (5, 3)])
def test_transposed_same_is_the_adjoint_of_same(kernel, stride):
    """<conv(x), y> = <x, transposed(y)> with one kernel: the definition of a transposed convolution."""
    torch.manual_seed(0)
    down, side = conv_stack(1, 6 * stride, [ConvSpec(2, kernel, stride, "same", activation=None, bias=False)])
    up, _ = conv_stack(2, side, [ConvSpec(1, kernel, stride, "same", up="transposed", activation=None, bias=False)])
    next(m for m in up if isinstance(m, nn.ConvTranspose2d)).weight.data = down[-1].weight.data
    x, y = torch.randn(3, 1, 6 * stride, 6 * stride), torch.randn(3, 2, 6, 6)
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


def test_resize_is_nearest_neighbour_then_a_convolution():
    stack, _ = conv_stack(1, 3, [ConvSpec(1, 3, 2, "same", up="resize", activation=None)])
    x = torch.rand(1, 1, 3, 3)
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(stack(x), F.conv2d(doubled, stack[1].weight, stack[1].bias, padding=1))


def test_order_within_a_layer():
    spec = ConvSpec(4, 3, norm=nn.BatchNorm2d, activation=partial(nn.LeakyReLU, 0.2), dropout=0.3)
    kinds = [type(layer) for layer in conv_stack(1, 8, [spec])[0]]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU, nn.Dropout]


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="layer 2 of 2: a 5x5 kernel does not fit a side of 3"):
        conv_stack(1, 8, [ConvSpec(4, 4, 2), ConvSpec(4, 5)])
    with pytest.raises(ValueError, match="at least 1"):
        conv_stack(1, 8, [ConvSpec(0, 4, 2)])
    with pytest.raises(ValueError, match="leaves holes"):
        conv_stack(1, 8, [ConvSpec(1, 2, 3, "same", up="transposed")])
    with pytest.raises(ValueError, match="removes all"):
        conv_stack(1, 1, [ConvSpec(1, 2, 1, 1, up="transposed")])
    with pytest.raises(ValueError, match=r"30x30 cannot be made by strides that multiply to 4.*such as 32"):
        start_size(30, [ConvSpec(1, 4, 2, up="transposed"), ConvSpec(1, 4, 2, up="resize")])
    with pytest.raises(ValueError, match="do not enlarge"):
        receptive_field([ConvSpec(1, 4, 2, up="transposed")])
    with pytest.raises(ValueError, match="25x25 cannot be halved"):
        dcgan.dcgan_critic(25, 1)


def test_v_is_built_from_these_modules_and_keeps_its_counts():
    assert count_parameters(ConvVAE(32)) == 4_348_547
    assert count_parameters(ConvVAE(64)) == 4_446_915
    assert receptive_field(ENCODER).side == 46
    assert conv_stack(1024, 1, DECODER)[1] == 64


def test_published_parameter_counts():
    assert count_parameters(foster.gan_discriminator()) == 720_833
    generator = foster.gan_generator()
    assert (count_parameters(generator), count_parameters(generator, True)) == (837_377, 844_161)
    assert count_parameters(foster.wgan_critic()) == 670_401
    generator = foster.wgan_generator()
    assert (count_parameters(generator), count_parameters(generator, True)) == (879_619, 884_163)
    assert count_parameters(foster.wgan_gp_critic()) == 4_314_753
    generator = foster.wgan_gp_generator()
    assert (count_parameters(generator), count_parameters(generator, True)) == (5_150_723, 5_168_003)


def test_published_autoencoder_counts():
    ae, vae, faces = foster.digits_autoencoder(), foster.digits_vae(), foster.faces_vae()
    assert count_parameters(ae.encoder) + count_parameters(ae.code) == 98_946
    assert count_parameters(ae.decoder) == count_parameters(vae.decoder) == 102_017
    heads = count_parameters(vae.mean) + count_parameters(vae.logvar)
    assert count_parameters(vae.encoder) + heads == 105_220
    heads = count_parameters(faces.mean) + count_parameters(faces.logvar)
    assert count_parameters(faces.encoder, True) + heads == 1_732_944
    assert count_parameters(faces.decoder, True) == 917_123


def test_published_networks_have_the_published_shapes():
    assert foster.gan_generator()(torch.zeros(2, 100)).shape == (2, 1, 28, 28)
    assert foster.gan_discriminator()(torch.zeros(2, 1, 28, 28)).shape == (2, 1)
    assert foster.wgan_generator()(torch.zeros(2, 100)).shape == (2, 3, 32, 32)
    assert foster.faces_vae().decode(torch.zeros(1, 200)).shape == (1, 3, 128, 128)
    assert foster.digits_autoencoder()(torch.zeros(1, 1, 28, 28)).shape == (1, 1, 28, 28)


def test_keras_batch_norm_keeps_kerass_constants():
    norm = foster.keras_batch_norm(0.9)(3)
    assert (norm.eps, round(norm.momentum, 9)) == (1e-3, 0.1)


@pytest.mark.parametrize(("size", "side"), [(256, 30), (128, 14), (64, 6), (32, 2), (28, 1)])
def test_patchgan_map_sizes(size, side):
    assert conv_stack(3, size, patchgan.patchgan_specs(4))[1] == side


def test_patchgan_sees_exactly_70x70():
    specs = patchgan.patchgan_specs(4, None)
    assert receptive_field(specs) == (70, 8)
    assert count_parameters(patchgan.patchgan(256, 3)) == 2_764_737
    critic = patchgan.patchgan(256, 3, width=4, norm=None)
    x = torch.rand(1, 3, 256, 256, requires_grad=True)
    critic(x)[0, 0, 15, 15].backward()
    rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
    columns = x.grad[0].abs().sum((0, 1)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 70
    assert int(columns[-1] - columns[0]) + 1 == 70


@pytest.mark.parametrize("size", [8, 28, 32, 48, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_architectures_fit_together_at_any_even_side(size, channels):
    z, x = torch.randn(2, 16), torch.randn(2, channels, size, size)
    for generator in (
        dcgan.dcgan_generator(size, channels, 16, 8),
        dcgan.dcgan_generator(size, channels, 16, 8, up="resize"),
        resnet.resnet_generator(size, channels, 16, 8),
    ):
        output = generator(z)
        assert output.shape == x.shape
        assert output.abs().max() <= 1
    for critic in (dcgan.dcgan_critic(size, channels, 8), resnet.resnet_critic(size, channels, 8)):
        assert critic(x).shape == (2, 1)
    assert coders.began_critic(size, channels, 16, 8)(x).shape == x.shape


def test_conditional_networks_use_their_labels():
    torch.manual_seed(0)
    z, x, labels = torch.randn(4, 16), torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    generator = dcgan.dcgan_generator(8, 1, 16, 8, classes=3).eval()
    hot = F.one_hot(labels, 3).float()
    assert torch.equal(generator(z, labels), generator(z, hot))
    assert not torch.allclose(generator(z, labels), generator(z, labels.flip(0)))
    for conditioning in ("planes", "projection"):
        critic = dcgan.dcgan_critic(8, 1, 8, classes=3, conditioning=conditioning)
        assert not torch.allclose(critic(x, labels), critic(x, (labels + 1) % 3))
        assert torch.equal(critic(x, labels), critic(x, hot))
        with pytest.raises(ValueError, match="needs labels"):
            critic(x)
    with pytest.raises(ValueError, match="takes no labels"):
        dcgan.dcgan_generator(8, 1, 16, 8)(z, labels)
    with pytest.raises(RuntimeError, match="smaller than num_classes"):
        generator(z, labels + 1)


def test_projection_is_head_plus_inner_product():
    critic = perceptrons.mlp_critic(2, 8, classes=3, conditioning="projection")
    x, labels = torch.randn(5, 2), torch.tensor([0, 1, 2, 1, 0])
    features = critic.body(x)
    rows = critic.embedding.weight.T[labels]
    torch.testing.assert_close(critic(x, labels), critic.head(features) + (features * rows).sum(1, keepdim=True))


def test_initialise_normal():
    layer = nn.Conv2d(64, 64, 5)
    initialise_normal(layer)
    assert abs(layer.weight.std().item() - 0.02) < 5e-4
    assert not layer.bias.any()


def test_a_critic_without_normalisation_begins_with_a_signal():
    """N(0, 0.02), meant for stacks with batch normalisation, would leave a hundredth of it."""
    torch.manual_seed(0)
    x = torch.randn(64, 1, 28, 28)
    critic = dcgan.dcgan_critic(28, 1, 32)
    assert 0.5 < critic(x).std().item() < 3
    dcgan.initialise_normal(critic)
    assert critic(x).std().item() < 0.05
