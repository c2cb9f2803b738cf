"""Options by the Tab key: a script for your shell, with every command, option and choice.

worldmodels completion bash > ~/.local/share/bash-completion/completions/worldmodels
worldmodels completion zsh > ~/.zfunc/_worldmodels       # with ~/.zfunc in fpath, before compinit
worldmodels completion fish > ~/.config/fish/completions/worldmodels.fish
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from agents.cli.help import Option, options_of
from agents.cli.main import COMMANDS, command
from agents.cli.options import Command
from rollouts.console import quoted


@dataclass(frozen=True)
class Arguments:
    """For which shell."""

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional] = "bash"
    """Which shell."""


def body(arguments: Arguments) -> None:
    """Print the script."""
    options = {name: options_of(command(name)) for name in COMMANDS}
    print({"bash": bash, "zsh": zsh, "fish": fish}[arguments.shell](options))


def flags(option: Option) -> list[str]:
    """An option as it can be typed, turned off as well."""
    section, _, name = option.flag.removeprefix("--").rpartition(".")
    off = f"--{section}.no-{name}" if section else f"--no-{name}"
    return [option.flag, off] if option.kind is bool else [option.flag]


def bash(options: dict[str, list[Option]]) -> str:
    """For bash: commands, then options, then the words that an option takes, else files."""
    choices = {option.flag: option.choices for group in options.values() for option in group if option.choices}
    of_flag = [
        f"    {flag}) COMPREPLY=($(compgen -W '{' '.join(words)}' -- \"$word\")); return ;;"
        for flag, words in sorted(choices.items())
    ]
    of_command = [
        f"    {name}) words='{' '.join(sum(map(flags, group), ['--help', '--help-all']))}' ;;"
        for name, group in options.items()
    ]
    return "\n".join(
        (
            "_worldmodels() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words',
            "  COMPREPLY=()",
            '  if [ "$COMP_CWORD" -eq 1 ]; then',
            f"    COMPREPLY=($(compgen -W '{' '.join(options)} --help --version' -- \"$word\")); return",
            "  fi",
            '  case "$before" in',
            *of_flag,
            "  esac",
            '  case "${COMP_WORDS[1]}" in',
            *of_command,
            "  esac",
            '  case "$word" in',
            '    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;',
            '    *) COMPREPLY=($(compgen -f -- "$word")) ;;',
            "  esac",
            "}",
            "complete -o filenames -F _worldmodels worldmodels",
        )
    )


def zsh(options: dict[str, list[Option]]) -> str:
    """For zsh, which understands bash's."""
    return f"#compdef worldmodels\nautoload -U +X bashcompinit && bashcompinit\n{bash(options)}"


def fish(options: dict[str, list[Option]]) -> str:
    """For fish, with a word about each."""
    lines = [
        f"complete -c worldmodels -f -n __fish_use_subcommand -a {name} -d {quoted(what)}"
        for name, what in COMMANDS.items()
    ]
    for name, group in options.items():
        within = f"complete -c worldmodels -n '__fish_seen_subcommand_from {name}'"
        for option in group:
            about = quoted(re.split(r"\. ", option.text)[0].rstrip("."))
            words = f" -x -a {quoted(' '.join(option.choices))}" if option.choices else " -r"
            takes = "" if option.kind is bool else words
            lines += [f"{within} -l {flag.removeprefix('--')}{takes} -d {about}" for flag in flags(option)]
    return "\n".join(lines)


COMMAND = Command(__doc__, Arguments, body, main=())
