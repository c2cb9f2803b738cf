"""The installed command ``worldmodels``: are the packages that it is made of this project's? Then what was typed.

A module of its own, that imports none of them: other projects install packages called ``agents`` and ``rollouts`` too,
and a command that lay in there could not say so.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "worldmodels-toolkit"  #: this project's name on a package index, where those of its folders are taken
PACKAGES = ("agents", "rollouts", "worldmodels")
ROOT = Path(__file__).parent


def main() -> None:
    """Do what the command line asks for; the entry point of the installed ``worldmodels``."""
    if (sentence := foreign()) is not None:
        print(f"Error: {sentence}", file=sys.stderr)
        sys.exit(2)
    from agents.cli import main as command

    command.main()


def foreign(root: Path = ROOT) -> str | None:
    """What is wrong if one of the packages is missing, or belongs to another distribution; else None.

    A package that lies elsewhere is somebody else's, and so is one whose ``__init__.py`` is not the file that was
    installed.
    """
    for name in PACKAGES:
        spec = find_spec(name)
        file = Path(spec.origin) if spec is not None and spec.origin else None
        if file is None:
            return f"The package {name} is missing: install {DISTRIBUTION} again."
        if file.resolve().parents[1] != root.resolve() or _replaced(file):
            return (
                f"The package {name} at {file.parent} belongs to {_owner(name)}, not to {DISTRIBUTION}: the two cannot "
                f"share an environment, so install {DISTRIBUTION} in one of its own."
            )
    return None


def _replaced(file: Path) -> bool:
    """Whether an installed file is not what this project's wheel had; in a clone there is nothing to compare with."""
    try:
        installed = metadata.files(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:
        return False
    for entry in installed:
        if entry.hash is not None and Path(str(entry.locate())).resolve() == file.resolve():
            digest = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
            return digest != entry.hash.value
    return False


def _owner(name: str) -> str:
    """The other distribution that has a package of this name."""
    others = set(metadata.packages_distributions().get(name, ())) - {DISTRIBUTION}
    return " and ".join(sorted(others)) or "another project"


if __name__ == "__main__":
    main()
