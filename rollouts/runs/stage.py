"""Run directories: what a stage was asked to do, and what it was made from.

A run is a folder; each stage owns one sub-folder with

* ``config.json``: the resolved configuration of the stage,
* ``manifest.json``: format version, inputs and their hashes, package versions, git commit, what was
  typed, completeness,
* its results, always written under a temporary name and then moved into place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rollouts.console import command, say
from rollouts.errors import UserError
from rollouts.runs.files import Facts, file_hash, read_json, sweep, write_json
from rollouts.runs.lock import NAME as LOCK
from rollouts.runs.lock import Lock, lock
from rollouts.runs.options import config_from_dict, config_to_dict
from rollouts.runs.provenance import command_line, git_commit, package_versions

FORMAT_VERSION = 1
NOTE_EVERY = 10.0  #: seconds between notes of the time that a stage has taken
OLDER_STATE = "state.older.pt"  #: the checkpoint before the last, as long as the stage is not finished
HASHED = ("weights", "starts")  #: safetensors files whose hashes stand in the manifest of a finished stage
_MEASURED = ("precision", "gate")  #: what a stage notes when it begins, and keeps when it goes on
#: What a manifest's entries are, where it has them.
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("inputs", "versions", "env", "architecture", "action_spec", "spec", "data", "gate"), dict),
    **dict.fromkeys(("observation_hash", "weights", "starts", "vae", "mdnrnn", "policy", "stage"), str),
    **dict.fromkeys(("commands", "earlier_versions"), list),
    **dict.fromkeys(("parameters", "environment_steps", "imagined_steps", "selected_generation"), int),
    "seconds": (int, float),
    "complete": bool,
}
T = TypeVar("T")


class Stage:
    """One stage's folder inside a run.

    ``Stage.open`` starts or continues it, ``Stage.require`` finds a finished one that a later stage needs.
    """

    def __init__(self, run: Path, name: str) -> None:
        self.run, self.name, self.path = run, name, run / name
        self._before, self._opened = 0.0, time.perf_counter()
        self._noted = self._opened
        self._typed: dict[str, Any] = {}  #: noted once something was done, not by a command that is refused
        self._lock: Lock | None = None

    @property
    def manifest(self) -> Facts:
        manifest = read_json(self.path / "manifest.json")
        if manifest.get("format") != FORMAT_VERSION:
            raise UserError(
                f"{self.path} is of format {manifest.get('format')}, this version reads format {FORMAT_VERSION}. "
                "Use the version it was made with, or delete that folder to make it anew."
            )
        for name, kind in _KINDS.items():
            value = manifest.get(name)
            if name in manifest and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
                raise UserError(
                    f"{manifest.path} is damaged ({name} is {value!r}). Delete the folder {self.path} to make it anew."
                )
        return manifest

    @property
    def complete(self) -> bool:
        return (self.path / "manifest.json").exists() and bool(self.manifest.get("complete"))

    @property
    def begun(self) -> bool:
        """Whether there is anything in it that its options and inputs have shaped."""
        return self._made_something and not self._lacks

    @property
    def _made_something(self) -> bool:
        """Whether there is a result in it, of whatever it was made from."""
        own = {"config.json", "manifest.json", LOCK}
        files = list(self.path.iterdir()) if self.path.exists() else []
        results = [
            file for file in files if file.name not in own and "tfevents" not in file.name and file.suffix != ".tmp"
        ]
        return any(file.is_dir() or file.stat().st_size for file in results)

    @property
    def _lacks(self) -> str | None:
        """Which of the two files that say what it was made with is not there."""
        return next((name for name in ("manifest.json", "config.json") if not (self.path / name).exists()), None)

    def _refuse_unknown_results(self) -> None:
        if self._made_something and self._lacks:
            raise UserError(
                f"{self.path} holds results and no {self._lacks}: nobody can tell what they were made with. Delete "
                "that folder to start the stage anew."
            )

    def config(self, cls: type[T]) -> T:
        """The stage's configuration as it was resolved when the stage ran."""
        values = read_json(self.path / "config.json")
        try:
            return config_from_dict(cls, values)
        except UserError as error:
            raise UserError(f"{values.path}: {error}") from error

    def described(self, name: str, make: Callable[[Any], T]) -> T:
        """What the manifest tells under ``name``, as ``make`` reads it; what it refuses is said to be in this file."""
        manifest = self.manifest
        try:
            return make(manifest[name])
        except (UserError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise UserError(
                f"{manifest.path} is damaged ({name}: {error}). Delete the folder {self.path} to make it anew."
            ) from error

    @classmethod
    def open(
        cls,
        run: Path,
        name: str,
        config: Any,
        inputs: Mapping[str, str] | None = None,
        growable: tuple[str, ...] = (),
        adopts: bool = False,
    ) -> Stage:
        """Start the stage, or continue it if the folder holds the same configuration and inputs.

        A folder in which nothing was made yet (its first command was refused, say) is started anew.
        ``growable`` names the options that may be larger than before (``--vae.steps 20000`` trains on); an option
        that is ``auto`` stays what it was. A stage that ``adopts`` takes over results that lie there and of which
        nobody can tell what they were made with; others refuse them.

        Raises:
            UserError: the folder was made with other options, or from other inputs, or another process works in it.
        """
        stage, wanted, inputs = cls(run, name), config_to_dict(config), dict(inputs or {})
        typed = [line] if (line := command_line()) else []
        sweep(run)
        if not adopts:
            stage._refuse_unknown_results()
        if stage.path.exists() and not stage.complete:  # before its files are looked at
            stage._lock = lock(stage.path)
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
                differences = "; ".join(f"{k} was {before.get(k)!r}, is now {wanted.get(k)!r}" for k in changed)
                raise UserError(
                    f"{stage.path} was made with other options ({differences}). Give the options it was made with, "
                    "choose another --run, or delete that folder to start the stage anew."
                )
            stage.check_inputs(inputs)
            typed = [*(line for line in stage.manifest.get("commands", []) if line not in typed), *typed]
            stage._typed = {"commands": typed, **({} if stage.complete and not grown else stage._other_versions())}
            if not grown:
                return stage
        stage.path.mkdir(parents=True, exist_ok=True)
        stage._lock = lock(stage.path)
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
                **{name: value for name, value in stage._typed.items() if name == "earlier_versions"},
                **{name: stage.manifest[name] for name in _MEASURED if stage.begun and name in stage.manifest},
            },
        )
        write_json(stage.path / "config.json", wanted)
        return stage

    def _other_versions(self) -> dict[str, Any]:
        """For the manifest, if the stage was begun with other versions than those of now: both."""
        manifest, now, commit = self.manifest, package_versions(), git_commit()
        before = {"versions": manifest.get("versions", {}), "git_commit": manifest.get("git_commit")}
        names = sorted(set(before["versions"]) | set(now)) if before["versions"] else []
        unlike = [
            f"{name} {before['versions'].get(name, 'none')}, now {now.get(name, 'none')}"
            for name in names
            if before["versions"].get(name) != now.get(name)
        ]
        if before["git_commit"] and before["git_commit"] != commit:
            unlike.append(f"commit {str(before['git_commit'])[:12]}, now {str(commit)[:12]}")
        if not unlike:
            return {}
        say(f"{self.path} was begun with other versions ({'; '.join(unlike)}); what follows may differ from it.")
        earlier = [*manifest.get("earlier_versions", []), before]
        return {"earlier_versions": earlier, "versions": now, "git_commit": commit}

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
        stage._refuse_unknown_results()
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
        """Mark the stage complete and add ``facts`` (totals) and its time to its manifest, with the hashes of its
        weights; other processes may then work in it."""
        ended = {"seconds": self.seconds, "complete": True}
        files = {name: self.path / f"{name}.safetensors" for name in HASHED}
        hashes = {name: file_hash(file) for name, file in files.items() if file.exists()}
        (self.path / OLDER_STATE).unlink(missing_ok=True)
        write_json(self.path / "manifest.json", {**self.manifest, **self._typed, **facts, **hashes, **ended})
        if self._lock is not None:
            self._lock.release()
            self._lock = None
