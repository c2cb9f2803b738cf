"""Which episodes a stage recorded, with a checksum of each: files that are missing, damaged or exchanged are found out.

``rollouts/episodes.jsonl`` has a line for every episode. Its ``mark`` is a checksum of the end of the file, where the
archive keeps the checksums of all that is in it: ten thousand of them take a second, and what they vouch for is checked
when it is read. Its ``sum`` is one of the whole file, for who adds episodes to others without reading these.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from rollouts.console import command, say
from rollouts.episodes import DAMAGE, EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import Facts, append_json_line, read_json_lines, write_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage

TAIL = 1024  #: bytes, enough for the directory of an episode's archive
BLOCK = 1 << 20  #: bytes that are read at once


def mark(file: Path) -> str:
    """Eight hexadecimal digits that identify an episode's file."""
    with file.open("rb") as content:
        size = content.seek(0, os.SEEK_END)
        content.seek(max(size - TAIL, 0))
        return f"{zlib.crc32(content.read(), size):08x}"


def checksum(file: Path) -> str:
    """Eight hexadecimal digits of all that is in a file."""
    found = 0
    with file.open("rb") as content:
        while block := content.read(BLOCK):
            found = zlib.crc32(block, found)
    return f"{found:08x}"


class Inventory:
    """The list of a stage's episodes."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.path = stage, stage.inventory
        self.store = Run(stage.run).episodes
        self._of = stage.id

    @property
    def kept(self) -> bool:
        """Whether there is one: older versions kept none, and who deletes it takes the files as they are."""
        return self.path.exists()

    def read(self) -> dict[str, str]:
        """Checksums by names of files, in the order of the list.

        Raises:
            UserError: the list is damaged, or of another run.
        """
        return {str(line["file"]): str(line["mark"]) for line in self._lines()}

    def _lines(self) -> list[Facts]:
        try:
            return read_json_lines(self.path, "mark", self._of)
        except UserError as error:
            raise UserError(f"{str(error).split(' Put back')[0]} {self._way_out}") from error

    def add(self, file: Path) -> None:
        """Note an episode that was just written."""
        append_json_line(self.path, _line(file), of=self._of)

    def write(self) -> None:
        """Note all episodes as they are, in the order of their seeds."""
        write_json_lines(self.path, [_line(file) for file in self.store.files], self._of)

    def sort(self) -> None:
        """Put the list in the order of the seeds: what was noted of a file stays, for that it is to be held to."""
        noted = {line["file"]: line for line in self._lines() if "sum" in line}
        lines = [noted.get(file.name) or _line(file) for file in self.store.files]
        write_json_lines(self.path, lines, self._of)

    def missing(self, noted: dict[str, str]) -> list[str]:
        """Names of episodes that were recorded and are gone."""
        present = {file.name for file in self.store.files}
        return [name for name in noted if name not in present]

    def require_unchanged(self, noted: dict[str, str]) -> None:
        """Refuse episodes that are not those that were recorded.

        Raises:
            UserError: it names the first.
        """
        self._refuse([file for file in self.store.files if noted.get(file.name, "") not in ("", mark(file))])

    def require_whole(self) -> None:
        """As :meth:`require_unchanged`, by all that is in the files, which are read for it.

        Raises:
            UserError: it names the first.
        """
        sums = {line["file"]: line.get("sum") for line in self._lines()}
        noted = [file for file in self.store.files if file.name in sums]
        self._refuse([file for file in noted if not _whole(file, sums[file.name])])

    def _refuse(self, changed: Sequence[Path]) -> None:
        if changed:
            raise UserError(
                f"{changed[0]} is not the file that was recorded there: it is damaged, or of another run"
                f"{_and_more(len(changed))}. Put back a copy of it, or {self._remedy}."
            )

    @property
    def _remedy(self) -> str:
        again = command("collect", "--run", self.stage.run)
        manifest = self.stage.manifest
        if manifest.get("policy") == "human" or "imported" in manifest.get("inputs", {}):
            return f"delete it and {self.path}, to go on without it"
        return f"delete it and record it again: {again}"

    @property
    def _way_out(self) -> str:
        return f"Put back a copy of that file, or delete it to take the episodes in {self.store.path} as they are."


def _line(file: Path) -> dict[str, str]:
    return {"file": file.name, "mark": mark(file), "sum": checksum(file)}


def _whole(file: Path, noted: str | None) -> bool:
    """Whether a file is what was noted; lists of before have no sums, and leave it to the archive's own."""
    if noted is not None:
        return checksum(file) == noted
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except DAMAGE:
        return False


def require_recorded(store: EpisodeStore) -> None:
    """Hold a finished stage's episodes to its list; files that were added are named and taken too.

    Raises:
        UserError: episodes are missing or are not those that were recorded, or the list is damaged.
    """
    stage = Run.of(store).rollouts
    inventory = Inventory(stage)
    if not stage.complete:
        return
    if not inventory.kept:
        if stage.manifest.get("listed"):
            say(f"There is no {inventory.path}: the episodes in {store.path} are taken as they are.")
        return
    noted = inventory.read()
    if (count := stage.manifest.get("listed", len(noted))) != len(noted):
        raise UserError(f"{inventory.path} is damaged (it names {len(noted)} of {count} files). {inventory._way_out}")
    if missing := inventory.missing(noted):
        raise UserError(
            f"{store.path / missing[0]} is missing{_and_more(len(missing))}. Put back a copy of it, or "
            f"{inventory._remedy.replace('delete it and record', 'record')}."
        )
    inventory.require_unchanged(noted)
    if added := [file for file in store.files if file.name not in noted]:
        say(f"{added[0]} was not recorded there{_and_more(len(added))}; what was added is learned from as well.")


def _and_more(count: int) -> str:
    return f" (as are {count - 1} more)" if count > 1 else ""
