"""A folder of pictures with captions: lists and texts, their words, what is missing, and a model that learns them."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rollouts.errors import UserError
from rollouts.runs.layout import Run
from worldmodels.generative.data.batches import Batches, held_out
from worldmodels.generative.data.captions import captioned_folder
from worldmodels.generative.data.language import RARE, Language, words_of
from worldmodels.generative.data.samples import LoadOptions
from worldmodels.generative.measures.captions import own_picture_nearer
from worldmodels.generative.objectives.matching import wrong_captions

CPU = torch.device("cpu")
COUNT = 40
COLOURS = {"red": (200, 30, 30), "Blue": (30, 30, 200)}
TEXTS = [f"{'a' if number % 3 else 'the'} {list(COLOURS)[number % 2]} picture, no. {number}" for number in range(COUNT)]


def pictures(folder: Path, below: str = "", count: int = COUNT) -> list[Path]:
    """Red and blue squares of 16x16, by turns."""
    files = [folder / below / f"{number:02}.png" for number in range(count)]
    files[0].parent.mkdir(parents=True)
    for number, file in enumerate(files):
        Image.new("RGB", (16, 16), list(COLOURS.values())[number % 2]).save(file)
    return files


def texts(files: list[Path], lines: list[str] = TEXTS) -> None:
    for file, text in zip(files, lines, strict=True):
        file.with_suffix(".txt").write_text(text, "utf-8")


def table(path: Path, files: list[str], head: str = "image,caption", quote: str = '"') -> None:
    rows = [head, *(f"{file},{quote}{text}{quote}" for file, text in zip(files, TEXTS, strict=True))]
    path.write_text("\n".join(rows), "utf-8")


def load(folder: Path, **options):
    return captioned_folder(str(folder), folder, LoadOptions(**options))


def test_every_kind_of_list_says_the_same(tmp_path):
    names = [f"{number:02}.png" for number in range(COUNT)]
    texts(pictures(tmp_path / "beside"))
    pictures(tmp_path / "json")
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in zip(names, TEXTS, strict=True)]
    (tmp_path / "json" / "metadata.jsonl").write_text("\n\n".join(lines), "utf-8-sig")
    pictures(tmp_path / "table")
    table(tmp_path / "table" / "captions.csv", [f"./{name}" for name in names], "File_Name,Text", "")  # commas unquoted
    pictures(tmp_path / "flickr", "Images")
    table(tmp_path / "flickr" / "captions.txt", names)
    pictures(tmp_path / "semicolons", "train")
    rows = ["id;file;caption", *(f"7;{name};{text}" for name, text in zip(names, TEXTS, strict=True))]
    (tmp_path / "semicolons" / "train" / "metadata.csv").write_text("\r\n".join(rows), "utf-8")
    first, *others = [load(folder) for folder in sorted(tmp_path.iterdir())]
    for other in others:
        assert other.language == first.language
        assert np.array_equal(other.train_condition, first.train_condition)
        assert np.array_equal(other.test_condition, first.test_condition)
        assert other.hash == first.hash
    for part, tokens in ((first.train, first.train_condition), (first.test, first.test_condition)):
        for picture, row in zip(part, tokens, strict=True):  # captions are of their pictures
            said = first.language.text_of(row).split()
            assert ("blue" in said, "red" in said) == ((True, False) if picture[0, 0, 2] > 100 else (False, True))


def test_a_vocabulary_has_the_words_of_two_pictures_and_one_for_all_others():
    captions = [["A dog, a DOG."], ["the well-known dog's Cat"], ["a cat!", "A unicorn; unicorn"]]
    language = Language.of(captions)
    assert language.words == ("a", "cat", RARE)  # "dog's" is another word than "dog", which is in one picture only
    assert language.length == 4
    assert language.read("a unicorn cat").tolist() == [0, 1, 3, 2]
    assert language.read("a a a a cat").tolist() == [1, 1, 1, 1]
    assert language.tokens_of("Cat, a").tolist() == [0, 0, 2, 1]
    assert language.examples == ("a a", "cat", "a cat")
    assert all(len(language.tokens_of(text)) == 4 for text in language.examples)
    unknown = ("a unicorn", "'unicorn'; the vocabulary is a, cat")
    for text, message in (unknown, ("...", "1 to 4 words"), (RARE, "'rare'")):
        with pytest.raises(UserError, match=message) as error:
            language.tokens_of(text)
        assert RARE not in str(error.value).replace(repr(RARE), "")
    with pytest.raises(UserError, match="No word is in the captions of 2 pictures"):
        Language.of([["one"], ["two two"]])


def test_of_a_large_vocabulary_the_closest_words_are_named():
    words = [f"word{number}" for number in range(60)] + ["elephant"]
    language = Language.of([words, words])
    with pytest.raises(UserError, match="'elephants'; close to it are elephant"):
        language.tokens_of("elephants")
    with pytest.raises(UserError, match="'xyz'; known are elephant, word0"):
        language.tokens_of("xyz")


def test_letters_are_compared_as_they_look():
    assert words_of("Cafe\u0301 — L’été") == ["café", "l’été"]


def test_what_is_missing_is_named_at_once_and_may_be_left_out(tmp_path, capsys):
    files = pictures(tmp_path / "some")
    lines = list(TEXTS)
    lines[3], lines[7] = "  \n", "?!"
    texts(files, lines)
    files[11].with_suffix(".txt").unlink()
    (tmp_path / "some" / "README.txt").write_text("not a caption")
    named = r"some has pictures without a caption: \S+03.png, \S+07.png, \S+11.png\. Mend .* --skip-broken"
    with pytest.raises(UserError, match=named):
        load(tmp_path / "some")
    files[5].write_bytes(b"broken")
    samples = load(tmp_path / "some", size=16, skip_broken=True)
    assert len(samples.train) + len(samples.test) == COUNT - 4
    assert len(samples.train) == len(samples.train_condition)
    assert "03.png" in capsys.readouterr().err

    pictures(tmp_path / "list")
    table(tmp_path / "list" / "captions.csv", [f"{number:02}.png" for number in range(COUNT - 1)] + ["gone.png"])
    with pytest.raises(UserError, match=r"pictures without a caption: .*39\.png"):
        load(tmp_path / "list")
    Path(tmp_path / "list" / "39.png").unlink()
    with pytest.raises(UserError, match=r"captions without a picture: .*captions.csv: gone.png"):
        load(tmp_path / "list")
    assert len(load(tmp_path / "list", skip_broken=True).train_condition) == 35


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.jsonl", b'{"file_name": "00.png", "text": "a"}\n{"file', "line 2, is no JSON"),
        ("metadata.jsonl", b'["00.png", "a"]', "line 1: expected an object"),
        ("metadata.jsonl", b'{"file_name": "00.png", "label": 3}', "columns file_name, label; one of text, caption"),
        ("captions.csv", b"00.png,a red picture", "columns 00.png, a red picture; one of file_name"),
        ("captions.csv", b"", "columns none"),
        ("captions.csv", "file_name,text\n00.png,Müll".encode("latin-1"), "no text in UTF-8"),
        ("captions.csv", b'file_name,text\n00.png,"' + 140_000 * b"a", "no row of a table"),
        ("notes.txt", b"a red picture", "has no captions. Write what is on NAME.jpg into NAME.txt"),
    ],
)
def test_lists_that_cannot_be_read_are_refused_by_name(tmp_path, name, content, message):
    pictures(tmp_path / "folder")
    (tmp_path / "folder" / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path / "folder")
    assert str(tmp_path / "folder") in str(error.value)


def test_two_lists_and_equal_captions_are_refused(tmp_path):
    files = pictures(tmp_path / "folder")
    texts(files, ["A picture.", "a  picture"] * (COUNT // 2))
    with pytest.raises(UserError, match=r"All captions in .* are 'A picture\.'"):
        load(tmp_path / "folder")
    for name in ("captions.csv", "metadata.csv"):
        table(tmp_path / "folder" / name, [file.name for file in files])
    with pytest.raises(UserError, match=r"both lists of captions"):
        load(tmp_path / "folder")


def test_of_several_captions_each_is_shown(tmp_path):
    files = pictures(tmp_path / "folder")
    texts(files, ["four blue" if number % 2 else "one red\n\ntwo red\nthree red" for number in range(COUNT)])
    samples = load(tmp_path / "folder")
    assert samples.train_condition.shape == (36, 3, 2)
    batches = Batches(samples, 18, 0, CPU, -1.0, flip=True)
    said: dict[str, set[str]] = {"red": set(), "blue": set()}
    for number in range(8):
        batch = batches(number)
        assert torch.equal(batch.condition, batches(number).condition)
        for x, tokens in zip(batch.x, batch.condition, strict=True):
            first, colour = samples.language.text_of(tokens.numpy()).split()
            assert colour == ("red" if x[0, 0, 0] > x[2, 0, 0] else "blue")
            said[colour].add(first)
    assert said["red"] == {"one", "two", "three"}
    assert said["blue"] == {"four"}
    assert held_out(samples, 2, CPU).condition.shape == (2, 2)


def test_a_wrong_caption_differs_and_is_another_pictures():
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        captions = torch.randint(2, (7, 2), generator=rng)
        wrong, has_one = wrong_captions(captions)
        rows = [row.tolist() for row in captions]
        assert has_one.tolist() == [any(other != row for other in rows) for row in rows]
        expected = []
        for number, row in enumerate(rows):  # the closest before it that differs, round the batch
            before = [rows[(number - back) % 7] for back in range(1, 7)]
            expected += [other for other in before if other != row][:1]
        assert wrong.tolist() == expected
    wrong, has_one = wrong_captions(torch.ones(4, 3))
    assert not has_one.any()
    assert wrong.shape == (0, 3)
    distinct = torch.arange(10).reshape(5, 2)
    assert torch.equal(wrong_captions(distinct)[0], distinct.roll(1, 0))


def test_own_pictures_are_nearer_only_where_captions_are_read():
    rng = torch.Generator().manual_seed(0)
    real, captions = torch.rand(60, 3, 16, 16, generator=rng), torch.arange(120).reshape(60, 2)
    near = real + 0.01 * torch.randn(60, 3, 16, 16, generator=rng)
    assert own_picture_nearer(near, real, captions) == 1
    assert own_picture_nearer(torch.rand(60, 3, 16, 16, generator=rng), real, captions) == pytest.approx(0.5, abs=0.05)
    assert own_picture_nearer(torch.zeros_like(real), torch.zeros_like(real), captions) == 0.5
    # of two captions and pictures, the drawn ones exchanged: the other one is always nearer
    two, which = torch.rand(2, 3, 16, 16, generator=rng), torch.arange(60) % 2
    assert own_picture_nearer(two[1 - which], two[which], which[:, None].expand(60, 2)) == 0
    assert own_picture_nearer(real, real, torch.ones(60, 2)) is None


def command(monkeypatch, name: str, *arguments: str) -> int:
    """The exit status of a command."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    try:
        importlib.import_module(f"agents.cli.{name}").COMMAND()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_model_learns_from_them_and_draws_without_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    texts(pictures(tmp_path / "mine", count=2 * COUNT), 2 * TEXTS)
    small = ("--preset", "tiny", "--steps", "2", "--log-every", "1", "--batch-size", "8", "--flip")
    small += ("--run", "run", "--model", "text-to-image", "--data", "mine")
    assert command(monkeypatch, "train_images", *small) == 0
    assert command(monkeypatch, "evaluate_images", "--run", "run") == 0
    measures = json.loads(Run(Path("run")).evaluation.read_text())["measures"]
    assert 0 <= measures["own_picture_nearer"] <= 1
    assert not any("attributes" in name for name in measures)
    shutil.rmtree(tmp_path / "mine")

    def draw(*arguments: str) -> int:
        return command(monkeypatch, "sample_images", "--run", "run", "--rows", "2", "--columns", "2", *arguments)

    for show in ("captions", "grid", "walk"):
        assert draw("--show", show) == 0
        assert Path(f"run/{show}.png").exists()
    assert draw("--show", "captions", "--caption", "A red picture.", "the blue picture") == 0
    assert draw("--show", "files", "--caption", "a red picture", "--out", "files") == 0
    assert sorted(file.name for file in Path("files").iterdir()) == ["a red picture-0000.png", "a red picture-0001.png"]
    capsys.readouterr()
    assert draw("--show", "captions", "--caption", "a green picture") == 2
    assert "No caption had the word 'green'; the vocabulary is " in capsys.readouterr().err
