"""Run directories: what a stage was asked to do, and what it was made from.

A run is a folder; each stage owns one sub-folder with

* ``config.json``: the resolved configuration of the stage,
* ``manifest.json``: format version, inputs and their hashes, package versions, git commit, what was
  typed, completeness,
* its results, always written under a temporary name and then moved into place.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from rollouts.console import command
from rollouts.errors import UserError
from rollouts.runs.files import read_json, sweep, write_json
from rollouts.runs.options import config_from_dict, config_to_dict
from rollouts.runs.provenance import command_line, git_commit, package_versions

FORMAT_VERSION = 1
NOTE_EVERY = 10.0  #: seconds between notes of the time that a stage has taken
T = TypeVar("T")


class Stage:
    """One stage's folder inside a run.

    ``Stage.open`` starts or continues it, ``Stage.require`` finds a finished one that a later stage needs.
    """

    def __init__(self, run: Path, name: str) -> None:
        self.run, self.name, self.path = run, name, run / name
        self._before, self._opened = 0.0, time.perf_counter()
        self._noted = self._opened
        self._typed: dict[str, list[str]] = {}  #: noted once something was done, not by a command that is refused

    @property
    def manifest(self) -> dict[str, Any]:
        manifest = read_json(self.path / "manifest.json")
        if manifest.get("format") != FORMAT_VERSION:
            raise UserError(
                f"{self.path} is of format {manifest.get('format')}, this version reads format {FORMAT_VERSION}. "
                "Use the version it was made with, or delete that folder to make it anew."
            )
        return manifest

    @property
    def complete(self) -> bool:
        return (self.path / "manifest.json").exists() and bool(self.manifest.get("complete"))

    @property
    def begun(self) -> bool:
        """Whether there is anything in it that its options and inputs have shaped."""
        own = {"config.json", "manifest.json"}
        files = list(self.path.iterdir()) if self.path.exists() else []
        results = [file for file in files if file.name not in own and "tfevents" not in file.name]
        made = any(file.is_dir() or file.stat().st_size for file in results)
        return made and own <= {file.name for file in files}

    def config(self, cls: type[T]) -> T:
        """The stage's configuration as it was resolved when the stage ran."""
        return config_from_dict(cls, read_json(self.path / "config.json"))

    @classmethod
    def open(
        cls,
        run: Path,
        name: str,
        config: Any,
        inputs: Mapping[str, str] | None = None,
        growable: tuple[str, ...] = (),
    ) -> Stage:
        """Start the stage, or continue it if the folder holds the same configuration and inputs.

        A folder in which nothing was made yet (its first command was refused, say) is started anew.
        ``growable`` names the options that may be larger than before (``--vae.steps 20000`` trains on); an option
        that is ``auto`` stays what it was.

        Raises:
            UserError: the folder was made with other options, or from other inputs.
        """
        stage, wanted, inputs = cls(run, name), config_to_dict(config), dict(inputs or {})
        typed = [line] if (line := command_line()) else []
        sweep(run)
        if stage.begun:
            stage._before = stage.manifest.get("seconds", 0.0)
            before = stage._options_before(type(config))
            wanted |= {k: before[k] for k, value in wanted.items() if value == "auto" and before.get(k)}
            grown = [
                k for k in growable if before.get(k) is not None and wanted.get(k) is not None and wanted[k] > before[k]
            ]
            changed = [
                k for k in sorted(set(before) | set(wanted)) if before.get(k) != wanted.get(k) and k not in grown
            ]
            if changed:
                told = "; ".join(f"{k} was {before.get(k)!r}, is now {wanted.get(k)!r}" for k in changed)
                raise UserError(
                    f"{stage.path} was made with other options ({told}). Give the options it was made with, "
                    "choose another --run, or delete that folder to start the stage anew."
                )
            stage.check_inputs(inputs)
            typed = [*(line for line in stage.manifest.get("commands", []) if line not in typed), *typed]
            stage._typed = {"commands": typed}
            if not grown:
                return stage
        stage.path.mkdir(parents=True, exist_ok=True)
        write_json(  # the manifest first: a kill between the two must not leave larger options marked as complete
            stage.path / "manifest.json",
            {
                "format": FORMAT_VERSION,
                "stage": name,
                "complete": False,
                "inputs": inputs,
                "commands": typed,
                "versions": package_versions(),
                "git_commit": git_commit(),
                "seconds": stage._before,
                **({"precision": stage.manifest["precision"]} if stage.begun and "precision" in stage.manifest else {}),
            },
        )
        write_json(stage.path / "config.json", wanted)
        return stage

    def _options_before(self, cls: type[Any]) -> dict[str, Any]:
        """What the stage was made with: options that came since have their defaults; another kind stays as it is."""
        try:
            return config_to_dict(self.config(cls))
        except UserError:
            return read_json(self.path / "config.json")

    def check_inputs(self, inputs: Mapping[str, str]) -> None:
        """Refuse to continue on inputs that differ from those the stage was made from."""
        before = self.manifest.get("inputs", {})
        for key in sorted(set(before) | set(inputs)):
            if before.get(key) != inputs.get(key):
                raise UserError(
                    f"{self.path} was made from {key} {before.get(key)}, but {key} is now {inputs.get(key)}. "
                    "Delete that folder to make it anew, or choose another --run."
                )

    @classmethod
    def require(cls, run: Path, name: str, made_by: str) -> Stage:
        """The finished stage ``name`` of ``run``.

        Raises:
            UserError: it is missing or unfinished; the message names the command that makes it.
        """
        stage = cls(run, name)
        if not (stage.path / "manifest.json").exists():
            raise UserError(f"{run} has no '{name}' stage yet. Make it first: {command(made_by, '--run', run)}")
        if not stage.complete:
            raise UserError(f"The '{name}' stage of {run} is unfinished. Continue it: {command(made_by, '--run', run)}")
        return stage

    @property
    def seconds(self) -> float:
        """Wall time since the stage was opened, and what its earlier processes noted before they were stopped."""
        return round(self._before + time.perf_counter() - self._opened, 3)

    def tick(self) -> None:
        """To be called while the stage works: notes the time it has taken, so that no more than a few seconds of it
        are forgotten when the process is killed."""
        if time.perf_counter() - self._noted >= NOTE_EVERY:
            write_json(self.path / "manifest.json", {**self.manifest, **self._typed, "seconds": self.seconds})
            self._noted = time.perf_counter()

    def note(self, **facts: Any) -> None:
        """Add ``facts`` to the manifest while the stage goes on."""
        write_json(self.path / "manifest.json", {**self.manifest, **facts})

    def finish(self, **facts: Any) -> None:
        """Mark the stage complete and add ``facts`` (hashes of results, totals) and its time to its manifest."""
        ended = {"seconds": self.seconds, "complete": True}
        write_json(self.path / "manifest.json", {**self.manifest, **self._typed, **facts, **ended})
