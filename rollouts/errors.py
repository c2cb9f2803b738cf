"""Errors that a user can mend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MOST_SEED = 2**63 - 1  #: what every random generator takes


class UserError(Exception):
    """A mistake with a known remedy: scripts print its one sentence and exit with status 2.

    The message says what was given, what was expected and what to do about it.
    """


def require_positive(options: object, names: Iterable[str], section: str = "") -> None:
    """Refuse options of 0 or less, and those that are no finite number, named as on the command line.

    Args:
        section: what stands before the names there, e.g. ``"vae."``.

    Raises:
        UserError: it names the first of them.
    """
    for name in names:
        value = getattr(options, name)
        if not (value > 0 and math.isfinite(value)):
            kind = "positive" if value <= 0 else "a finite positive number"
            raise UserError(f"--{section}{name.replace('_', '-')} must be {kind}, got {value}.")


def require_below_one(options: object, names: Iterable[str], section: str = "") -> None:
    """Refuse what is not in [0, 1).

    Raises:
        UserError: the option is named.
    """
    for name in names:
        if not 0 <= getattr(options, name) < 1:
            option = f"--{section}{name.replace('_', '-')}"
            raise UserError(f"{option} must be in [0, 1), got {getattr(options, name)}.")


def require_at_least(least: float, options: object, names: Iterable[str], section: str = "") -> None:
    """Refuse options below ``least``, and those that are no finite number; one of None was not given.

    Raises:
        UserError: it names the first of them.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and not (value >= least and math.isfinite(value)):
            kind = "" if math.isfinite(value) else "a finite number and "
            must = "cannot be negative" if least == 0 and value < 0 else f"must be {kind}at least {least:g}"
            raise UserError(f"--{section}{name.replace('_', '-')} {must}, got {value}.")


def require_seed(seed: int, option: str) -> None:
    """Refuse a seed that random generators do not take.

    Raises:
        UserError: it is negative or has more than 63 bits.
    """
    if not 0 <= seed <= MOST_SEED:
        raise UserError(f"--{option} must be 0 to {MOST_SEED:,}, got {seed}.")


@contextmanager
def named_within(section: str) -> Iterator[None]:
    """Within it, errors name options of a section inside another: ``--vae.steps`` becomes ``--iterate.vae.steps``."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace("--", f"--{section}.")) from None
