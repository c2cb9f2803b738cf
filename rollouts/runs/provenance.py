"""What a result was made with: the command that was typed, package versions, the commit of this package."""

from __future__ import annotations

import platform
import shlex
import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "gymnasium", "numpy", "cma", "opencv-python-headless", "box2d", "vizdoom")
_typed: str | None = None


def note_command(*words: str) -> None:
    """Remember what was typed, for the manifests of the stages that it opens."""
    global _typed
    _typed = shlex.join(words)


def command_line() -> str | None:
    """What was typed, as a shell takes it; None where the packages are used as a library."""
    return _typed


def package_versions() -> dict[str, str]:
    """Versions of everything that can change a result, the interpreter included."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_commit(root: Path = ROOT) -> str | None:
    """The commit of this package's own checkout; None where it lies in no checkout, or in somebody else's.

    Somebody else's is one whose files these are not: an environment inside another repository, say.
    """
    here = str(Path(__file__).resolve().relative_to(ROOT.resolve()))
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve() or _git(root, "ls-files", "--error-unmatch", here) is None:
        return None
    return _git(root, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None
