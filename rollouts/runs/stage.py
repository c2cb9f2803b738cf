"""Run directories: what a stage was asked to do, and what it was made from.

A run is a folder; each stage owns one sub-folder with

* ``config.json``: the resolved configuration of the stage,
* ``manifest.json``: format version, inputs and their hashes, package versions, git commit, commands, completeness,
* its results, always written under a temporary name and then moved into place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rollouts.console import command, say
from rollouts.errors import UserError
from rollouts.runs.files import Facts, file_hash, fingerprint, make_folder, read_json, sweep, write_json
from rollouts.runs.lock import NAME as LOCK
from rollouts.runs.lock import Lock, lock
from rollouts.runs.options import config_from_dict, config_to_dict
from rollouts.runs.provenance import command_line, git_commit, package_versions

FORMAT_VERSION = 1
NOTE_EVERY = 10.0  #: seconds between notes of the time that a stage has taken
MANIFEST = "manifest.json"
OLDER_STATE = "state.older.pt"
KEPT = ("precision", "tracking", "gate")  #: what a manifest goes on with when a finished stage is continued
HASHED = ("weights", "starts", "value")  #: safetensors files whose hashes stand in the manifest of a finished stage
#: Which command makes a stage.
MADE_BY = {
    "rollouts": "collect",
    "vae": "train-vae",
    "mdnrnn": "train-mdnrnn",
    "controller": "train-controller",
    "images": "train-images",
    "vae-gan": "sharpen-vae",
}
#: What a manifest's entries are, where it has them.
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("inputs", "versions", "env", "architecture", "action_spec", "spec", "data"), dict),
    **dict.fromkeys(("gate", "tracking"), dict),
    **dict.fromkeys(("observation_hash", "weights", "starts", "value", "vae", "mdnrnn", "policy", "stage", "id"), str),
    **dict.fromkeys(("commands", "earlier_versions"), list),
    **dict.fromkeys(("parameters", "environment_steps", "imagined_steps", "selected_generation"), int),
    **dict.fromkeys(("seconds", "death_weight"), (int, float)),
    "complete": bool,
}
T = TypeVar("T")


class Stage:
    """One stage's folder inside a run, and its files by name; :class:`rollouts.runs.layout.Run` knows all stages.

    ``open`` starts or continues it, ``require`` finds a finished one that a later stage needs.
    """

    def __init__(self, run: Path, name: str) -> None:
        self.run, self.name, self.path = run, name, run / name
        self.config_file = self.path / "config.json"
        self.manifest_file = self.path / MANIFEST
        self.weights = self.path / "weights.safetensors"
        self.state = self.path / "state.pt"  #: the last checkpoint
        self.older_state = self.path / OLDER_STATE  #: the one before, as long as the stage is not finished
        self.metrics = self.path / "metrics.jsonl"  #: of V, M and image models
        self.held_out = self.path / "held_out.jsonl"  #: of V, M and image models, on data that nothing learns from
        self.history = self.path / "history.jsonl"  #: of C
        self.diagnostics = self.path / "diagnostics.json"  #: of V and M
        self.starts = self.path / "starts.safetensors"  #: of M: the moments that dreams begin at
        self.value = self.path / "value.safetensors"  #: of M: what is still to come where dreams end
        self.inventory = self.path / "episodes.jsonl"  #: of a recording: its episodes with their checksums
        self._before, self._opened, self._noted = 0.0, time.perf_counter(), time.perf_counter()
        self._typed: dict[str, Any] = {}  #: noted once something was done, not by a command that is refused
        self._lock: Lock | None = None

    def picture(self, name: str) -> Path:
        """``reconstructions``, ``prior_samples``, ``dream`` or ``samples``: what a stage has drawn when it ends."""
        return self.path / f"{name}.png"

    @property
    def manifest(self) -> Facts:
        """What the stage was made from, with what, and how far it is.

        Raises:
            UserError: it is missing, damaged or of another format.
        """
        manifest = read_json(self.manifest_file)
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
        return self.manifest_file.exists() and bool(self.manifest.get("complete"))

    @property
    def begun(self) -> bool:
        """Whether there is anything in it that its options and inputs have shaped."""
        return self._made_something and not self._lacks

    @property
    def _made_something(self) -> bool:
        """Whether there is a result in it, of whatever it was made from."""
        own = {self.config_file.name, self.manifest_file.name, LOCK}
        files = list(self.path.iterdir()) if self.path.exists() else []
        results = [
            file for file in files if file.name not in own and "tfevents" not in file.name and file.suffix != ".tmp"
        ]
        return any(file.is_dir() or file.stat().st_size for file in results)

    @property
    def _lacks(self) -> str | None:
        """Which of the two files that say what it was made with is not there."""
        return next((file.name for file in (self.manifest_file, self.config_file) if not file.exists()), None)

    def _refuse_unknown_results(self) -> None:
        if self._made_something and self._lacks:
            raise UserError(
                f"{self.path} holds results and no {self._lacks}: nobody can tell what they were made with. Delete "
                "that folder to start the stage anew."
            )

    @property
    def id(self) -> str | None:
        """Identifies the stage, by what it was first asked for; None in older runs."""
        return self.manifest.get("id") if self.manifest_file.exists() else None

    @property
    def options(self) -> Facts:
        """The stage's configuration as plain values; a UserError says that they are damaged, or of another run."""
        values, own = read_json(self.config_file), self.id
        if own is not None and values.of not in (None, own):
            raise UserError(f"{values.path} is of another run than the manifest beside it. {values.anew}")
        return values

    def config(self, cls: type[T]) -> T:
        """The stage's configuration as it was resolved when the stage ran."""
        values = self.options
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

    def open(
        self,
        config: Any,
        inputs: Mapping[str, str] | None = None,
        growable: tuple[str, ...] = (),
        adopts: bool = False,
        shrinkable: tuple[str, ...] = (),
    ) -> Stage:
        """Start the stage, or continue it if the folder holds the same configuration and inputs.

        A folder in which nothing was made yet (its first command was refused, say) is started anew. ``growable``
        options may be larger than before (``--vae.steps 20000`` trains on), and ``shrinkable`` ones of them smaller as
        well while the stage is unfinished; one that is ``auto`` stays what it was. A stage that ``adopts`` takes over
        results that lie there and of which nobody can tell what they were made with; others refuse them.

        Raises:
            UserError: the folder was made with other options, or from other inputs, or another process works in it.
        """
        options, inputs, typed = config_to_dict(config), dict(inputs or {}), [line] if (line := command_line()) else []
        sweep(self.run)
        if not adopts:
            self._refuse_unknown_results()
        if self.path.exists() and not self.complete:  # before its files are looked at
            self._lock = lock(self.path)
        if self.begun:
            self._before = self.manifest.get("seconds", 0.0)
            before = self._options_before(type(config))
            options |= {k: before[k] for k, value in options.items() if value == "auto" and before.get(k)}
            both = [k for k in growable if before.get(k) is not None and options.get(k) is not None]
            free = () if self.complete else shrinkable
            grown = [k for k in both if options[k] > before[k] or (k in free and options[k] < before[k])]
            changed = [
                k for k in sorted(set(before) | set(options)) if before.get(k) != options.get(k) and k not in grown
            ]
            if changed:
                differences = "; ".join(f"{k} was {before.get(k)!r}, is now {options.get(k)!r}" for k in changed)
                raise UserError(
                    f"{self.path} was made with other options ({differences}). Give the options it was made with, "
                    "choose another --run, or delete that folder to start the stage anew."
                )
            self.check_inputs(inputs)
            typed = [*(line for line in self.manifest.get("commands", []) if line not in typed), *typed]
            self._typed = {"commands": typed, **({} if self.complete and not grown else self._other_versions())}
            if not grown:
                return self
        identity = self.manifest.get("id") if self.begun else fingerprint([self.name, inputs, options])
        make_folder(self.path)
        self._lock = lock(self.path)
        write_json(  # the manifest first: a kill between the two must not leave larger options marked as complete
            self.manifest_file,
            {
                "format": FORMAT_VERSION,
                "stage": self.name,
                **({"id": identity} if identity else {}),
                "complete": False,
                "inputs": inputs,
                "commands": typed,
                "versions": package_versions(),
                "git_commit": git_commit(),
                "seconds": self._before,
                **{name: value for name, value in self._typed.items() if name == "earlier_versions"},
                **({name: self.manifest[name] for name in KEPT if name in self.manifest} if self.begun else {}),
            },
        )
        write_json(self.config_file, options, identity)
        return self

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
            return self.options

    def check_inputs(self, inputs: Mapping[str, str]) -> None:
        """Refuse to continue on inputs that differ from those the stage was made from."""
        before = self.manifest.get("inputs", {})
        for key in sorted(set(before) | set(inputs)):
            if before.get(key) != inputs.get(key):
                raise UserError(
                    f"{self.path} was made from {key} {before.get(key)}, but {key} is now {inputs.get(key)}. "
                    "Delete that folder to make it anew, or choose another --run."
                )

    def require(self, made_by: str | None = None) -> Stage:
        """The stage itself, if it is finished.

        Args:
            made_by: the command that makes it, if that is not the usual one.

        Raises:
            UserError: it is missing or unfinished; the message names the command that makes it.
        """
        self._refuse_unknown_results()
        make = command(made_by or MADE_BY[self.name], "--run", self.run)
        if not self.manifest_file.exists():
            raise UserError(f"{self.run} has no '{self.name}' stage yet. Make it first: {make}")
        if not self.complete:
            raise UserError(f"The '{self.name}' stage of {self.run} is unfinished. Continue it: {make}")
        return self

    @property
    def seconds(self) -> float:
        """Wall time since its clock was started, and what its earlier processes noted before they were stopped."""
        return round(self._before + time.perf_counter() - self._opened, 3)

    def start_clock(self) -> None:
        """Its time counts from now on: what came before is another stage's."""
        self._opened = time.perf_counter()

    def tick(self) -> None:
        """To be called while the stage works: notes its time, so that a kill makes it forget only seconds of it."""
        if time.perf_counter() - self._noted >= NOTE_EVERY:
            write_json(self.manifest_file, {**self.manifest, **self._typed, "seconds": self.seconds})
            self._noted = time.perf_counter()

    def note(self, **facts: Any) -> None:
        """Add ``facts`` to the manifest while the stage goes on."""
        write_json(self.manifest_file, {**self.manifest, **facts})

    def finish(self, **facts: Any) -> None:
        """Mark the stage complete, with ``facts``, its time and its weights' hashes; others may then work in it."""
        ended = {"seconds": self.seconds, "complete": True}
        files = {name: self.path / f"{name}.safetensors" for name in HASHED}
        hashes = {name: file_hash(file) for name, file in files.items() if file.exists()}
        self.older_state.unlink(missing_ok=True)
        write_json(self.manifest_file, {**self.manifest, **self._typed, **facts, **hashes, **ended})
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def noted_hash(file: Path) -> str | None:
    """What the finished stage that wrote a file noted as its hash; None for a file or a version that notes nothing."""
    manifest = file.with_name(MANIFEST)
    if file.stem not in HASHED or not manifest.exists():
        return None
    noted = read_json(manifest).get(file.stem)
    return None if noted is None else str(noted)
