"""What a file may make this machine run.

Weights, configurations and episodes are data. But an environment's id can name a module, which runs when it is
imported, and a keyword argument can name a program. Whoever types such an id means it; out of a file that somebody
else wrote it is followed only where it was typed too, or after ``--trust``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rollouts.envs.config import EnvConfig
from rollouts.envs.homes import KNOWN
from rollouts.errors import UserError
from rollouts.runs.options import config_from_dict

OPTION = "--trust"
_PROGRAM = re.compile(r"(^|_)(path|exe|executable|binary|bin|program|command|cmd|launcher|entry_point|file|dir)s?($|_)")
_typed: set[str] = set()
_everything = False


def note_typed(words: Sequence[str]) -> list[str]:
    """Remember what stands on this command line; the words without ``--trust``."""
    global _everything
    _typed.clear()
    _typed.update(word.partition("=")[2] if word.startswith("--") else word for word in words)
    _everything = OPTION in words
    return [word for word in words if word != OPTION]


def recorded_env(manifest: Mapping[str, Any]) -> EnvConfig:
    """The environment that a stage's manifest names, which may be somebody else's file.

    Raises:
        UserError: it would import a module that was not named here, or hands a path to the environment.
    """
    source = getattr(manifest, "path", "This run")
    try:
        env = config_from_dict(EnvConfig, manifest["env"])
    except UserError as error:
        raise UserError(f"{source} names no environment that is understood: {error}") from error
    if _everything:
        return env
    module, colon, _ = env.id.partition(":")
    if colon and env.id not in _typed and module not in sys.modules and module not in {home.module for home in KNOWN}:
        raise UserError(
            f"{source} asks for the environment {env.id}, for which the module {module} would be imported, that is, "
            f"run. If you know whose code that is and want it, give the same command with {OPTION}; a program of your "
            f"own does 'import {module}' first."
        )
    for name, value in env.kwargs.items():
        if value not in _typed and (_PROGRAM.search(name.lower()) or re.search(r"[/\\:]", value)):
            raise UserError(
                f"{source} hands {name}={value!r} to the environment {env.id}, which may be a program or a file that "
                f"it runs. If you know what that is and want it, give the same command with {OPTION}."
            )
    return env
