"""A folder of pictures with captions of their own: a text beside each, or a list of all."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rollouts.console import say
from rollouts.errors import UserError
from worldmodels.generative.data.folders import NAMED, from_files
from worldmodels.generative.data.image_files import find_pictures
from worldmodels.generative.data.language import SEVERAL, Language, Tokens, words_of
from worldmodels.generative.data.samples import LoadOptions, Samples

LISTS = ("metadata.jsonl", "metadata.csv", "captions.csv", "captions.txt")
"""Lists of captions: Hugging Face's image folders have the first two, Flickr8k the last."""
FILES = ("file_name", "filename", "file", "image", "name")  #: what the column of file names may be called
TEXTS = ("text", "caption", "captions", "comment")  #: and that of captions
HOW = (
    "Write what is on NAME.jpg into NAME.txt beside it, or what is on all of them into captions.csv, with the columns "
    "file_name and text."
)
Captions = dict[Path, list[str]]


def captioned_folder(name: str, folder: Path, options: LoadOptions) -> Samples:
    """All pictures below a folder; their conditions are the tokens of their captions, ``[N, T]`` or, where some have
    several, ``[N, K, T]``.

    Raises:
        UserError: pictures have no caption, or captions no picture; all of them are named.
    """
    files = find_pictures(folder)
    captions, strangers = read_captions(folder, files)
    if not captions:
        raise UserError(f"{folder} has no captions. {HOW}")
    alone = [str(file) for file in files if file not in captions]
    for what, names in (("pictures without a caption", alone), ("captions without a picture", strangers)):
        if names:
            _tell(folder, what, names, options.skip_broken)
    read = from_files(name, folder, [file for file in files if file in captions], options)
    texts = [captions[file] for file in files if file in captions]
    language = Language.of([texts[number] for number in read.train])
    most = min(max(map(len, texts)), SEVERAL)
    tokens = np.stack([_rows(language, own, most) for own in texts])
    if (tokens == tokens[0, 0]).all():
        raise UserError(f"All captions in {folder} are {texts[0][0]!r}, or differ in rare words only.")
    tokens = tokens[:, 0] if most == 1 else tokens
    say(f"{name}: captions of up to {language.length} words, {len(language.words) - 1:,} of which are learnt.")
    return replace(
        read.samples, train_condition=tokens[read.train], test_condition=tokens[read.test], language=language
    )


def _rows(language: Language, captions: Sequence[str], count: int) -> Tokens:
    """``count`` captions of a picture as tokens ``[count, T]``; fewer are repeated."""
    return np.stack([language.read(captions[number % len(captions)]) for number in range(count)])


def read_captions(folder: Path, files: Sequence[Path]) -> tuple[Captions, list[str]]:
    """Pictures' captions, without those that have no word; and the names on lists that no picture has.

    Raises:
        UserError: a list cannot be read, or there are two.
    """
    folders = sorted({folder, *(file.parent for file in files)})
    lists = [path for place in folders for path in _lists(place)]
    found: Captions = defaultdict(list)
    strangers: list[str] = []
    for path in lists:
        below = [file for file in files if file.is_relative_to(path.parent)]
        by_name = {str(file.relative_to(path.parent)): file for file in below}
        names = [file.name for file in below]
        by_name |= {file.name: file for file in below if file.name not in by_name and names.count(file.name) == 1}
        for name, texts in _entries(path):
            file = by_name.get(str(Path(name.replace("\\", "/"))))
            if file is None:
                strangers.append(f"{path}: {name}")
            else:
                found[file] += [text for text in texts if words_of(text)]
    for file in [] if lists else files:
        beside = file.with_suffix(".txt")
        if beside.exists():
            found[file] = [line.strip() for line in _text(beside).splitlines() if words_of(line)]
    return {file: texts for file, texts in found.items() if texts}, list(dict.fromkeys(strangers))


def _lists(place: Path) -> list[Path]:
    """The list of captions in a folder, if there is one."""
    lists = [place / name for name in LISTS if (place / name).exists()]
    if len(lists) > 1:
        raise UserError(f"{lists[0]} and {lists[1]} are both lists of captions; leave one of them in the folder.")
    return lists


def _entries(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Names of files and their captions, of a list."""
    text = _text(path)
    if path.suffix == ".jsonl":
        yield from _json_lines(path, text)
        return
    separator = max(",;\t|", key=text.partition("\n")[0].count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    columns = [name for name in table.fieldnames or [] if name]
    file, caption = (_column(path, columns, names) for names in (FILES, TEXTS))
    try:
        for row in table:
            more = row.get(None, []) if caption == columns[-1] else []  # of a caption with commas, but no quotes
            if row[file]:
                yield row[file].strip(), [separator.join([row[caption] or "", *more])]
    except csv.Error as error:
        raise UserError(f"{path}, line {table.line_num}, is no row of a table ({error}).") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}, is no JSON ({error.msg}).") from error
        if not isinstance(entry, dict):
            raise UserError(f"{path}, line {number}: expected an object with file_name and text.")
        file, caption = (_column(path, list(entry), names) for names in (FILES, TEXTS))
        texts = entry[caption] if isinstance(entry[caption], list) else [entry[caption]]
        yield str(entry[file]), [str(part) for part in texts if part is not None]


def _column(path: Path, columns: list[str], names: Sequence[str]) -> str:
    """The column that is called so.

    Raises:
        UserError: none is.
    """
    for column in columns:
        if column.strip().lower() in names:
            return column
    raise UserError(f"{path} has the columns {', '.join(columns) or 'none'}; one of {', '.join(names)} is needed.")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8: save it as such.") from error


def _tell(folder: Path, what: str, names: list[str], skip: bool) -> None:
    """Name all of them.

    Raises:
        UserError: they are not to be skipped.
    """
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    if not skip:
        raise UserError(f"{folder} has {what}: {shown}. Mend that, or leave them out with --skip-broken.")
    say(f"{folder}: {what} are left out: {shown}.")
