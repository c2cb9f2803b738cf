"""``--help``: the options of a command that matter, on one screen, as a text that is ready in an instant.

The texts lie beside this file, because the options' defaults are found only by importing all of PyTorch. A test holds
that they are what the code says; ``python -m agents.cli.help`` writes them anew.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollouts.console import command as called

if TYPE_CHECKING:
    from agents.cli.options import Command

FOLDER = Path(__file__).parent
WIDTH, INDENT = 100, 34
FULL = 45  #: lines of a screen


@dataclass(frozen=True)
class Option:
    """One option of a command."""

    field: str  #: its path in ``Arguments``: vae.latent_size
    flag: str  #: as it is typed: --vae.latent-size
    kind: Any
    text: str
    default: Any
    group: str  #: the first line of what its group of options is

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it takes, if they are a few known ones."""
        return typing.get_args(self.kind) if typing.get_origin(self.kind) is typing.Literal else ()

    @property
    def takes(self) -> str:
        """What stands behind it on the command line."""
        if self.kind is bool:
            return ""
        if self.choices:
            words = "|".join(self.choices)
            return words if len(self.flag) + len(words) <= INDENT - 5 else "NAME"
        names = {int: "N", float: "X", Path: "PATH"}
        inner = typing.get_args(self.kind)
        if typing.get_origin(self.kind) is tuple:
            return "... " if inner[-1] is Ellipsis else " ".join(names.get(kind, "WORD") for kind in inner)
        return names.get(self.kind, "WORD")


def stored(name: str) -> str:
    """The text of ``--help``, with its examples as the reader calls commands."""
    text = (FOLDER / f"{name}.txt").read_text()
    return re.sub(r"^( *)worldmodels ([a-z-]+)", lambda m: m[1] + called(m[2]), text.rstrip(), flags=re.MULTILINE)


def screen(name: str, of: Command[Any]) -> str:
    """The text anew, from the command's code."""
    about, *_ = (of.description or "").strip().split("\n\n")
    examples = [line for line in (of.description or "").splitlines() if line.startswith(("worldmodels ", "torchrun "))]
    lines = [*textwrap.wrap(about, WIDTH), "", *(f"  {line}" for line in examples)]
    options = {option.field: option for option in options_of(of)}
    group = None
    for field in sorted(of.main, key=lambda field: "." in field):
        option = options[field]
        if option.group != group:
            group = option.group
            lines += ["", f"{group}:"]
        lines += _lines(option)
    rest = len(options) - len(of.main)
    changed = ", which --preset and the run's own options change" if "preset" in of.names() else ""
    more = f" {rest} more options: --help-all" if rest else ""
    return "\n".join([*lines, "", f"In brackets: defaults{changed}.{more}"])


def options_of(of: Command[Any]) -> list[Option]:
    """All options of a command, with the defaults that they have where there is no run yet."""
    from agents.cli.options import defaults_of

    return list(_options(of.arguments, defaults_of(of), "", "", "Options", of.flat))


def _options(kind: Any, value: Any, field_prefix: str, prefix: str, group: str, flat: bool) -> Iterator[Option]:
    hints, texts = typing.get_type_hints(kind, include_extras=True), docstrings(kind)
    for field in dataclasses.fields(kind):
        hint, text, bare, name = hints[field.name], texts.get(field.name, ""), flat, field.name.replace("_", "-")
        for mark in getattr(hint, "__metadata__", ()):
            text, bare = text or getattr(mark, "help", None) or "", bare or getattr(mark, "name", None) == ""
        hint = _bare(hint)
        default = getattr(value, field.name)
        if dataclasses.is_dataclass(default):
            below = "" if bare else f"{prefix}{name}."
            title = re.split(r"[.,:;]( |$)", (type(default).__doc__ or "").split("\n")[0])[0]
            within = group if field_prefix else title
            yield from _options(type(default), default, f"{field_prefix}{field.name}.", below, within, flat)
        else:
            yield Option(f"{field_prefix}{field.name}", f"--{prefix}{name}", hint, text, default, group)


def _bare(hint: Any) -> Any:
    """A type without its annotations, and without None."""
    if typing.get_origin(hint) is typing.Annotated:
        return _bare(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _bare(next(option for option in typing.get_args(hint) if option is not type(None)))
    return hint


@cache
def docstrings(kind: type[Any]) -> dict[str, str]:
    """The docstring under every field of a dataclass, those of its parents included."""
    texts: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(parent):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(parent))).body[0]
        except (OSError, TypeError):  # a class that was made while running has no source
            continue
        pairs = zip(typing.cast(ast.ClassDef, body).body, typing.cast(ast.ClassDef, body).body[1:], strict=False)
        for field, text in pairs:
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return texts


def _lines(option: Option) -> list[str]:
    """An option with the first sentence of its help, shortened where that spares a line."""
    shown, default = f"  {option.flag} {option.takes}".rstrip(), _default(option)
    sentence = re.split(r"(?<=[\w)'\"])\. (?=[A-Z])", option.text)[0].rstrip(".")
    plain = re.sub(r" \([^)]*\)", "", sentence)
    shorter = (sentence, plain, plain.split(";")[0])
    text = next((text for text in shorter if len(text + default) <= WIDTH - INDENT), sentence)
    if option.takes == "NAME":
        text = f"{', '.join(option.choices)}: {text}"
    if usual := re.search(r"(?<=\. )Default: [^.]*", option.text):
        text += f". {usual[0]}"
    first, *others = textwrap.wrap(text + default, WIDTH - INDENT) or [""]
    if len(shown) > INDENT - 2:
        return [shown, " " * INDENT + first, *(" " * INDENT + line for line in others)]
    return [f"{shown:<{INDENT}}{first}".rstrip(), *(" " * INDENT + line for line in others)]


def _default(option: Option) -> str:
    if option.kind is bool:
        section, _, name = option.flag.removeprefix("--").rpartition(".")
        return f" [on; off: --{section + '.' if section else ''}no-{name}]" if option.default else ""
    if option.default in (None, (), {}) or option.field in ("run", "workers"):
        return ""
    value = option.default
    return f" [{' '.join(map(str, value)) if isinstance(value, tuple) else value}]"
