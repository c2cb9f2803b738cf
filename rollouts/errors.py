"""Errors that a user can mend."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """A mistake with a known remedy: scripts print its one sentence and exit with status 2.

    The message says what was given, what was expected and what to do about it.
    """


def require_positive(options: object, names: Iterable[str], section: str = "") -> None:
    """Refuse options of 0 or less, named as on the command line.

    Args:
        section: what stands before the names there, e.g. ``"vae."``.

    Raises:
        UserError: it names the first of them.
    """
    for name in names:
        if getattr(options, name) <= 0:
            raise UserError(f"--{section}{name.replace('_', '-')} must be positive, got {getattr(options, name)}.")
