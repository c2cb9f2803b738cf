"""Pairs from files stay together, pairs that are made are pure functions of pictures; whatever is odd is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rollouts.errors import UserError
from worldmodels.generative.data import making
from worldmodels.generative.data import two_photos as two_photos_module
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.data.inputs import read_drawing, read_holes, read_small
from worldmodels.generative.data.pairs import halves, two_folders, unpaired
from worldmodels.generative.data.samples import LoadOptions, Samples
from worldmodels.generative.data.store import PictureFile
from worldmodels.training.randomness import generator_for


def save(pixels: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """40 colours, and the number of each as a grey: a picture's red is that grey."""
    for number in range(40):
        colour = np.zeros((6, 6, 3), np.uint8)
        colour[:] = (5 * number, 100, 200)
        save(colour, tmp_path / "colours" / "a" / f"{number}.png")
        save(np.full((6, 6), 5 * number, np.uint8), tmp_path / "greys" / "a" / f"{number}.bmp")
    return tmp_path / "colours", tmp_path / "greys"


def are_pairs(samples: Samples) -> bool:
    parts = (samples.train, samples.train_condition), (samples.test, samples.test_condition)
    return all(bool((x[:][..., 0] == grey[:][..., 0]).all()) for x, grey in parts)


def test_two_folders_are_paired_by_name(folders):
    samples = two_folders(*folders, LoadOptions())
    assert (len(samples.train), len(samples.test)) == (36, 4)
    assert (samples.channels, samples.train_condition.shape[-1]) == (3, 1)
    assert are_pairs(samples)
    assert len(np.unique(samples.train_condition[:])) == 36
    assert not are_pairs(replace(samples, train_condition=samples.train_condition[::-1]))


def test_pairs_in_a_file_are_the_same_pairs(folders, tmp_path):
    in_memory = two_folders(*folders, LoadOptions())
    filed = two_folders(*folders, LoadOptions(memory=10, folder=tmp_path))
    assert isinstance(filed.train, PictureFile)
    assert are_pairs(filed)
    assert np.array_equal(filed.train[3:9], in_memory.train[3:9])
    assert (filed.train.shape, filed.train_condition.shape) == (in_memory.train.shape, in_memory.train_condition.shape)
    assert filed.hash == in_memory.hash


def test_a_broken_picture_takes_its_partner_with_it(folders):
    (folders[1] / "a" / "7.bmp").write_bytes(b"broken")
    (folders[0] / "a" / "9.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"2 of 40 pictures.*7\.bmp.*9\.png|2 of 40 pictures.*9\.png.*7\.bmp"):
        two_folders(*folders, LoadOptions())
    samples = two_folders(*folders, LoadOptions(skip_broken=True))
    assert len(samples.train) + len(samples.test) == 38
    assert are_pairs(samples)


def test_pictures_without_a_partner_are_named(folders):
    (folders[1] / "a" / "7.bmp").unlink()
    save(np.zeros((6, 6), np.uint8), folders[1] / "new.png")
    with pytest.raises(UserError, match=r"colours/a/7, .*greys/new: no such name in the other folder"):
        two_folders(*folders, LoadOptions())
    twin = save(np.zeros((6, 6), np.uint8), folders[0] / "a" / "7.jpg")
    with pytest.raises(UserError, match=r"7\.jpg and .*7\.png have one name"):
        two_folders(*folders, LoadOptions())
    twin.unlink()
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        two_folders(folders[0], folders[0] / "nowhere", LoadOptions())


def test_pairs_of_other_sizes_are_refused_or_brought_to_one(folders):
    save(np.zeros((9, 9), np.uint8), folders[1] / "a" / "7.bmp")
    with pytest.raises(UserError, match=r"7\.bmp is 9x9.*choose one with --size"):
        two_folders(*folders, LoadOptions())
    assert two_folders(*folders, LoadOptions(size=8)).size == 8


def test_halves_of_files(tmp_path):
    for number in range(12):
        both = np.full((4, 8, 3), number, np.uint8)
        both[:, 4:] += 100
        save(both, tmp_path / "both" / f"{number}.png")
    samples = halves(tmp_path / "both", "left-right", LoadOptions())
    assert samples.train.shape[1:] == (4, 4, 3)
    assert np.array_equal(samples.train[:], samples.train_condition[:] + 100)
    samples = halves(tmp_path / "both", "right-left", LoadOptions())
    assert np.array_equal(samples.train[:] + 100, samples.train_condition[:])
    save(np.zeros((4, 9, 3), np.uint8), tmp_path / "both" / "odd.png")
    with pytest.raises(UserError, match=r"odd\.png has no two halves: it is 9 pixels wide"):
        halves(tmp_path / "both", "left-right", LoadOptions(size=4))
    save(np.zeros((4, 4, 3), np.uint8), tmp_path / "both" / "odd.png")
    with pytest.raises(UserError, match=r"each half of .*odd\.png is 2x4"):
        halves(tmp_path / "both", "left-right", LoadOptions())


def test_two_sets_need_one_size_and_nothing_else():
    a, b = (Samples(name, *[np.zeros((n, 4, 4, 3), np.uint8)] * 2) for name, n in (("a", 5), ("b", 9)))
    both = unpaired(a, b)
    assert (len(both.train), len(both.train_other)) == (5, 9)
    with pytest.raises(UserError, match="choose one for both with --size"):
        unpaired(a, replace(b, train=np.zeros((9, 6, 6, 3), np.uint8)))
    with pytest.raises(UserError, match="must be pictures"):
        unpaired(a, load_samples("lines"))


def test_the_two_photos_hold_out_what_nobody_has_seen(monkeypatch):
    assert load_samples("two-photos", 16, 1).train.shape == (684, 16, 16, 1)
    columns = np.zeros((427, 640, 3), np.uint8)
    columns[..., 0], columns[..., 1] = np.arange(640) // 256, np.arange(640) % 256
    monkeypatch.setattr(two_photos_module, "read_image", lambda path: columns)
    samples = two_photos_module.two_photos(128)
    assert (samples.train.shape, samples.test.shape) == ((684, 128, 128, 3), (38, 128, 128, 3))
    whole = [part.astype(int) for part in (samples.train, samples.test)]
    train, test = (set(np.unique(x[..., 0] * 256 + x[..., 1])) for x in whole)
    assert test == set(range(240, 368))
    assert train == set(range(640)) - test


# Made of the pictures themselves


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=generator_for(3, 0))


@pytest.mark.parametrize("name", ["grey", "masked", "shrunk", "edges", "road"])
def test_what_is_made_is_a_function_of_the_picture_and_of_chance(name):
    kind, x = making.input_kind(name), noise(3, 3, 16, 16)
    inputs = kind.make(x, generator_for(0, 0))
    assert inputs.shape == (3, kind.planes(3), 16, 16)
    assert 0 <= inputs.min() <= inputs.max() <= 1
    assert torch.equal(inputs, kind.make(x.clone(), generator_for(0, 0)))
    assert torch.equal(inputs, kind.make(x, generator_for(0, 1))) == (name != "masked")


def test_holes_are_in_the_mean_colour_of_the_rest():
    x = noise(200, 3, 16, 16)
    inputs = making.input_kind("masked", hole=0.5).make(x, generator_for(0, 0))
    hole = inputs[:, 3:]
    assert set(hole.unique().tolist()) == {0, 1}
    assert torch.equal(inputs[:, :3] * (1 - hole), x * (1 - hole))
    sides = hole[:, 0].amax(1).sum(1)  # they are rectangles of 4 to 8 pixels
    assert sorted(sides.unique().tolist()) == [4, 5, 6, 7, 8]
    assert torch.equal(hole.sum((1, 2, 3)), sides * hole[:, 0].amax(2).sum(1))
    assert hole.amax(0).all()  # and come to every place
    rest = (x * (1 - hole)).sum((2, 3)) / (1 - hole).sum((2, 3))
    torch.testing.assert_close((inputs[:, :3] * hole).amax((2, 3)), rest)


def test_greys_blocks_and_roads():
    x = noise(2, 3, 16, 16)
    torch.testing.assert_close(making.luma(x)[:, 0], 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])
    small = making.shrunk(x, 4)
    torch.testing.assert_close(small[1, 2, 3, 0], x[1, 2, 12:, :4].mean())
    flat = torch.full((1, 3, 16, 16), 0.3)
    torch.testing.assert_close(making.input_kind("shrunk").make(flat, generator_for(0, 0)), flat)
    meadow_tar_kerb_car = ((102, 230, 102), (102, 102, 102), (255, 0, 0), (204, 0, 0))
    pixels = torch.tensor(meadow_tar_kerb_car).T[None, :, None] / 255
    assert making.road(pixels).flatten().tolist() == [0, 1, 1, 1]


def test_edges_are_lines_where_the_grey_jumps():
    x = torch.full((1, 3, 16, 16), 0.2)
    assert (making.edges(x) == 1).all()
    x[..., 9:] = 0.8
    drawn = making.edges(x)[0, 0]
    assert (drawn.sum(1) == 15).all()  # one dark pixel in each row
    assert set((drawn == 0).nonzero()[:, 1].tolist()) <= {8, 9}
    torch.testing.assert_close(making.edges(x.transpose(2, 3))[0, 0], drawn.T)
    faint = torch.full((1, 3, 16, 16), 0.2)
    faint[..., 9:] = 0.25
    assert (making.edges(faint) == 1).all()


# Files of the user's


def test_transparent_parts_are_the_holes(tmp_path):
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[:8, :, 0], pixels[4:8, 4:8] = 0, (9, 9, 9, 0)
    inputs = read_holes(save(pixels, tmp_path / "torn.png"), 16, 3, "crop")
    hole = torch.zeros(16, 16)
    hole[4:8, 4:8] = 1
    assert torch.equal(inputs[0, 3], hole)
    red = 128 / (256 - 16)
    torch.testing.assert_close(inputs[0, :3, 5, 5], torch.tensor([red, 1.0, 1.0]))
    whole = save(np.full((8, 8, 3), 9, np.uint8), tmp_path / "whole.png")
    with pytest.raises(UserError, match=r"whole\.png has no transparent part"):
        read_holes(whole, 8, 3, "crop")
    gone = save(np.zeros((8, 8, 4), np.uint8), tmp_path / "gone.png")
    with pytest.raises(UserError, match="transparent all over"):
        read_holes(gone, 8, 3, "crop")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"bad\.png is not a readable picture"):
        read_holes(tmp_path / "bad.png", 8, 3, "crop")


def test_drawings_are_taken_as_they_are_and_made_of_photos(tmp_path, capsys):
    kind = making.input_kind("edges")
    drawing = np.where(np.eye(16, dtype=bool), 0, 255).astype(np.uint8)
    taken = read_drawing(save(drawing, tmp_path / "drawing.png"), 16, "crop", kind)
    assert torch.equal(taken[0, 0], 1 - torch.eye(16))
    photo = np.zeros((16, 16, 3), np.uint8)
    photo[:, 8:, 0] = 255
    inputs = read_drawing(save(photo, tmp_path / "photo.png"), 16, "crop", kind)
    assert "photo.png has colours" in capsys.readouterr().err
    assert (inputs == 0).sum() == 16


def test_small_pictures_are_enlarged_as_in_training(tmp_path):
    small = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    inputs = read_small(save(small, tmp_path / "small.png"), 16, 3, "crop", 4)
    x = torch.from_numpy(small).movedim(-1, 0)[None] / 255
    torch.testing.assert_close(inputs, making.enlarged(x, 16))
