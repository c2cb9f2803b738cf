"""Which episodes a stage recorded, with a checksum of each: files that are missing, damaged or exchanged are found out.

``rollouts/episodes.jsonl`` has a line for every episode. A checksum is one of the end of its file, where the archive
keeps the checksums of all that is in it: ten thousand of them take a second, and what they vouch for is checked when
it is read.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from rollouts.console import command, say
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import append_json_line, read_json_lines, write_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage

TAIL = 1024  #: bytes, enough for the directory of an episode's archive


def mark(file: Path) -> str:
    """Eight hexadecimal digits that identify an episode's file."""
    with file.open("rb") as content:
        size = content.seek(0, os.SEEK_END)
        content.seek(max(size - TAIL, 0))
        return f"{zlib.crc32(content.read(), size):08x}"


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
        try:
            return {str(line["file"]): str(line["mark"]) for line in read_json_lines(self.path, "mark", self._of)}
        except UserError as error:
            raise UserError(f"{str(error).split(' Put back')[0]} {self._way_out}") from error

    def add(self, file: Path) -> None:
        """Note an episode that was just written."""
        append_json_line(self.path, {"file": file.name, "mark": mark(file)}, of=self._of)

    def write(self) -> None:
        """Note all episodes as they are, in the order of their seeds."""
        lines = [{"file": file.name, "mark": mark(file)} for file in self.store.files]
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
        changed = [file for file in self.store.files if noted.get(file.name, "") not in ("", mark(file))]
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
