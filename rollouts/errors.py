"""Errors that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """A mistake with a known remedy: scripts print its one sentence and exit with status 2.

    The message says what was given, what was expected and what to do about it.
    """
