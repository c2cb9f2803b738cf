"""Captions and what they name, a judge that is right on real pictures, a critic that is shown three kinds of pairs."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from rollouts.errors import UserError
from worldmodels.generative.data.batches import Batches, held_out
from worldmodels.generative.data.captioned import (
    ATTRIBUTES,
    LANGUAGE,
    LENGTH,
    WORDS,
    Scenes,
    caption,
    captioned_shapes,
    captions_of,
    coverage,
    named_in,
    pictures_of,
    some_scenes,
)
from worldmodels.generative.data.samples import to_tensor
from worldmodels.generative.fit import fit_images
from worldmodels.generative.measures.attributes import judged, shares_right
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.models.trained import load_trained
from worldmodels.generative.networks.captions import CaptionEncoder
from worldmodels.generative.objectives.losses import HINGE
from worldmodels.generative.objectives.units import Batch
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def samples():
    return captioned_shapes(0)


def test_captions_come_back_from_their_tokens_and_name_only_what_is_there():
    rng = np.random.default_rng(0)
    scenes = some_scenes(500, rng)
    texts = captions_of(scenes, rng)
    tokens = np.stack([LANGUAGE.tokens_of(text) for text in texts])
    assert [LANGUAGE.text_of(row) for row in tokens] == texts
    named = named_in(tokens)
    for part, true in zip(named, scenes, strict=True):
        assert ((part == true) | (part == -1)).all()
        assert 0.7 < (part >= 0).mean() < 0.9
    assert len({len(text.split()) for text in texts}) > 3
    assert {word for text in texts for word in text.split()} == set(WORDS)


def test_every_value_of_every_attribute_is_named_by_its_word():
    for name, values in ATTRIBUTES.items():
        for number, value in enumerate(values):
            words = {"shape": f"a {value}", "place": f"a shape at the {value}"}.get(name, f"a {value} shape")
            found = named_in(LANGUAGE.tokens_of(words)[None])._asdict()
            assert found.pop(name) == number
            assert all(part == -1 for part in found.values())
    assert named_in(LANGUAGE.tokens_of("A big shape.")[None]).size == ATTRIBUTES["size"].index("large")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a purple circle", "'purple'; the vocabulary is a, the"), ("", "1 to 7 words"), ("a " * 8, "has 8")],
)
def test_what_no_caption_had_is_named_with_the_vocabulary(text, message):
    with pytest.raises(UserError, match=message):
        LANGUAGE.tokens_of(text)


def test_shapes_have_the_area_of_their_circle_and_their_centre():
    for shape, radius in itertools.product(range(3), (3.2, 5.5)):
        covered = coverage(np.array([shape]), np.array([radius]), np.array([15.3]), np.array([16.8]), 32)[0]
        assert covered.sum() == pytest.approx(np.pi * radius**2, rel=0.03)
        places = np.arange(32) + 0.5
        assert (covered.sum(0) @ places) / covered.sum() == pytest.approx(15.3, abs=0.1)
        assert (covered.sum(1) @ places) / covered.sum() == pytest.approx(16.8, abs=0.15)


@pytest.mark.parametrize("side", [32, 64])
def test_the_judge_is_right_on_real_pictures_and_at_chance_on_others(side):
    rng = np.random.default_rng(0)
    scenes = some_scenes(600, rng)
    x = to_tensor(pictures_of(scenes, rng, side))
    right = shares_right(scenes, judged(x))
    assert min(right.values()) > 0.97
    others = shares_right(Scenes(*(rng.permutation(part) for part in scenes)), judged(x))
    for name, values in ATTRIBUTES.items():
        assert others[name] == pytest.approx(1 / len(values), abs=0.07)


def test_the_judge_sees_nothing_where_there_is_nothing():
    empty = torch.full((2, 3, 32, 32), 0.1) + 0.01 * torch.rand(2, 3, 32, 32)
    assert all((part == -1).all() for part in judged(empty))
    assert shares_right(Scenes(*np.zeros((4, 2), int)), judged(empty))["all"] == 0


def test_tokens_pass_batches_as_they_are(samples):
    for low in (0.0, -1.0):
        batch = Batches(samples, 16, 0, CPU, low, flip=True)(0)
        assert batch.condition.shape == (16, LENGTH)
        assert set(batch.condition.flatten().tolist()) <= set(range(len(WORDS) + 1))
    known = held_out(samples, 64, CPU)
    named = named_in(known.condition.numpy())
    assert shares_right(named, judged(known.x))["all"] > 0.97  # captions belong to their pictures


def test_words_before_the_first_one_do_not_change_what_is_read():
    """The padding is no word: it must not tell short captions from long ones by more than their words do."""
    torch.manual_seed(0)
    reader = CaptionEncoder(len(WORDS), 8)
    assert torch.equal(reader.embedding(torch.zeros(1, dtype=torch.long)), torch.zeros(1, 8))
    one, other = (torch.from_numpy(LANGUAGE.tokens_of(text))[None] for text in ("a red circle", "a circle red"))
    assert reader(one).shape == (1, 8)
    assert not torch.allclose(reader(one), reader(other))  # the order matters


def model(matching: bool = True):
    config = dataclasses.replace(preset("text-to-image", "tiny"), matching=matching)
    return build(config, Shape(32, 3, 15, LENGTH), CPU)


def test_the_critic_is_shown_right_fake_and_wrong_pairs(samples):
    """With the critic replaced by a known function, the loss is Reed's: right against the mean of both wrongs."""
    data = Batches(samples, 16, 0, CPU, -1.0)(0)
    batch = Batch(data.x, data.labels, generator_for(0, 0), data.condition)
    for matching in (True, False):
        game, shown = model(matching).game, []

        def critic(x, tokens, shown=shown):
            shown.append((x, tokens))
            return x.mean((1, 2, 3))[:, None] + 0.1 * tokens.float().mean(1, keepdim=True)

        game.critic = critic
        loss = game.critic_loss(batch)
        x, tokens = shown[0]
        assert len(x) == 16 * (3 if matching else 2)
        assert torch.equal(x[:16], data.x)
        assert torch.equal(tokens[:16], tokens[16:32])
        assert not torch.equal(x[16:32], data.x)
        right, fake = critic(x[:16], tokens[:16]), critic(x[16:32], tokens[16:32])
        expected = torch.relu(1 - right).mean() + torch.relu(1 + fake).mean()
        if matching:
            assert torch.equal(x[32:], data.x)
            assert torch.equal(tokens[32:], data.condition.roll(1, 0))
            wrong = critic(x[32:], tokens[32:])
            expected = torch.relu(1 - right).mean() + (torch.relu(1 + fake).mean() + torch.relu(1 + wrong).mean()) / 2
        torch.testing.assert_close(loss.total, expected)
    assert float(HINGE.critic(torch.ones(1), -torch.ones(1)).total) == 0


def test_both_readers_learn(samples):
    gan = model()
    data = Batches(samples, 16, 0, CPU, -1.0)(0)
    batch = Batch(data.x, data.labels, generator_for(0, 0), data.condition)
    for network, loss in ((gan.game.critic, gan.game.critic_loss), (gan.game.generator, gan.game.generator_loss)):
        loss(batch).total.backward()
        assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in network.reader.parameters())


@pytest.mark.slow
def test_interrupted_training_is_bit_equal_and_needs_no_data_to_draw(tmp_path, monkeypatch):
    config = dataclasses.replace(preset("text-to-image", "tiny"), log_every=2, checkpoint_every=4)
    for steps, run in ((6, "whole"), (3, "parts"), (6, "parts")):
        fit_images("text-to-image", dataclasses.replace(config, steps=steps), tmp_path / run, CPU)
    monkeypatch.setattr("worldmodels.generative.data.datasets.captioned_shapes", None)
    whole, parts = (load_trained(tmp_path / run, CPU).model for run in ("whole", "parts"))
    for a, b in zip(whole.network.state_dict().values(), parts.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    drawn = whole.draw(4, generator_for(0, 0), whole.read("a red circle").expand(4, -1))
    assert drawn.shape == (4, 3, 32, 32)
    assert whole.draw(4, generator_for(0, 0)).shape == (4, 3, 32, 32)


def test_what_cannot_be_is_refused():
    for change, word in (({"flip": True}, "--flip"), ({"channels": 1}, "--channels"), ({"text_size": 0}, "text-size")):
        with pytest.raises(UserError, match=word):
            dataclasses.replace(preset("text-to-image"), **change).check()
    with pytest.raises(UserError, match="no captions"):
        dataclasses.replace(preset("text-to-image"), data="digits-8x8").load()
    assert caption((0, 0, 0, 0), np.random.default_rng(0)).split()[0] in ("a", "the", "one")
