"""Run directories: what a stage was asked to do, what it was made from, and files that are never half-written.

A run is a folder; each stage owns one sub-folder with

* ``config.json``: the resolved configuration of the stage,
* ``manifest.json``: format version, inputs and their hashes, package versions, git commit, completeness,
* its results, always written under a temporary name and then moved into place.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import platform
import subprocess
import time
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from rollouts.errors import UserError

FORMAT_VERSION = 1
NOTE_EVERY = 10.0  #: seconds between notes of the time that a stage has taken
PACKAGES = ("torch", "gymnasium", "numpy", "cma", "opencv-python-headless", "box2d", "vizdoom")
T = TypeVar("T")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place on success, delete it on failure.

    Raises:
        UserError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full: {path} could not be written. Free some space and run the same command "
                "again; it continues from the last complete file."
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Delete what killed processes left half-written in ``folder``; files of processes that live are kept."""
    for file in folder.rglob(".*.tmp"):
        owner = file.name.split(".")[-2]
        if owner.isdigit() and int(owner) != os.getpid() and not _alive(int(owner)):
            file.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a damaged file is named.

    Raises:
        UserError: the file is missing or is no JSON object.
    """
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}). Delete it and run its stage again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged (it holds no object). Delete it and run its stage again.")
    return value


def read_json_lines(path: Path, key: str) -> list[dict[str, Any]]:
    """Records of a file with one JSON object per line, up to the first that is damaged (cut short by a kill, say).

    ``key`` is one that every whole record has. A missing file has no records.
    """
    records = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(record, dict) or key not in record:
            break
        records.append(record)
    return records


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace the file by these records, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))


def append_json_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add one record at the end."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def fingerprint(value: object) -> str:
    """Twelve hexadecimal digits that identify a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def file_hash(path: Path) -> str:
    """Twelve hexadecimal digits that identify a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:12]


def config_to_dict(config: Any) -> dict[str, Any]:
    """A dataclass (nested ones included) as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def config_from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Rebuild a (nested) dataclass from :func:`config_to_dict`'s result.

    Raises:
        UserError: a key is unknown; nothing is silently dropped.
    """
    hints = typing.get_type_hints(cls)
    unknown = set(values) - {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown:
        raise UserError(f"Unknown {cls.__name__} option(s): {', '.join(sorted(unknown))}.")
    return cls(**{name: _restore(hints[name], value) for name, value in values.items()})


def _restore(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint):
        return config_from_dict(typing.cast(type, hint), value)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_restore(inner, item) for item in value)
    return value


def package_versions() -> dict[str, str]:
    """Versions of everything that can change a result, the interpreter included."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """The commit of the source tree, or None outside a git checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None


class Stage:
    """One stage's folder inside a run.

    ``Stage.open`` starts or continues it, ``Stage.require`` finds a finished one that a later stage needs.
    """

    def __init__(self, run: Path, name: str) -> None:
        self.run, self.name, self.path = run, name, run / name
        self._before, self._opened = 0.0, time.perf_counter()
        self._noted = self._opened

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
        ``growable`` names the options that may be larger than before (``--vae.steps 20000`` trains on).

        Raises:
            UserError: the folder was made with other options, or from other inputs.
        """
        stage, wanted, inputs = cls(run, name), config_to_dict(config), dict(inputs or {})
        sweep(run)
        if stage.begun:
            stage._before = stage.manifest.get("seconds", 0.0)
            before = stage._options_before(type(config))
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
                "versions": package_versions(),
                "git_commit": git_commit(),
                "seconds": stage._before,
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
            UserError: it is missing or unfinished; the message names the script that makes it.
        """
        stage = cls(run, name)
        if not (stage.path / "manifest.json").exists():
            raise UserError(f"{run} has no '{name}' stage yet. Make it first: python scripts/{made_by} --run {run}")
        if not stage.complete:
            raise UserError(
                f"The '{name}' stage of {run} is unfinished. Continue it: python scripts/{made_by} --run {run}"
            )
        return stage

    @property
    def seconds(self) -> float:
        """Wall time since the stage was opened, and what its earlier processes noted before they were stopped."""
        return round(self._before + time.perf_counter() - self._opened, 3)

    def tick(self) -> None:
        """To be called while the stage works: notes the time it has taken, so that no more than a few seconds of it
        are forgotten when the process is killed."""
        if time.perf_counter() - self._noted >= NOTE_EVERY:
            write_json(self.path / "manifest.json", {**self.manifest, "seconds": self.seconds})
            self._noted = time.perf_counter()

    def finish(self, **facts: Any) -> None:
        """Mark the stage complete and add ``facts`` (hashes of results, totals) and its time to its manifest."""
        write_json(self.path / "manifest.json", {**self.manifest, **facts, "seconds": self.seconds, "complete": True})
