"""``worldmodels COMMAND``: every command by name, each in a file of its own beside this one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rollouts import console
from rollouts.runs import provenance

if TYPE_CHECKING:
    from agents.cli.options import Command

COMMANDS = {
    "quickstart": "the whole pipeline on real CarRacing, for a first evening",
    "pipeline": "all stages in order, on one run directory",
    "collect": "record episodes of an environment",
    "train-vae": "V: learn to see",
    "train-mdnrnn": "M: learn what comes next",
    "train-controller": "C: learn to act, in the real world or in the dream",
    "distil": "C imitates another agent, then evolution has the last word",
    "import": "episodes from elsewhere: Minari, other projects' arrays, videos; or published weights",
    "export": "a run's episodes as videos or a Minari data set, V and M as ONNX or torch.export",
    "iterate": "more rounds: collect with the agent, refit V and M, evolve on",
    "evaluate": "score an agent on test seeds of the stock environment",
    "watch": "a video of the agent, in the world or in its dream",
    "play": "the live page: watch, dream, drive",
    "export-page": "a folder that dreams in any browser, to share",
    "compare": "what does C need? controllers that differ in one thing each",
    "diagnose": "does the dream rank controllers as reality does?",
    "sweep-temperature": "dreams of many temperatures, and what they are worth in reality",
    "release": "turn a run's agent into a folder to share",
    "train-images": "train a VAE, GAN or another image model on pictures",
    "sample-images": "samples, interpolations and attributes of an image model",
    "evaluate-images": "measure an image model",
    "sharpen-vae": "V with an adversarial loss (VAE/GAN)",
    "report": "one HTML file of a run, or of several side by side",
    "runs": "what there is under runs/: stages, scores, ages",
    "info": "versions, device, precision, where runs are, disk",
    "bench": "how fast this machine is",
    "completion": "options by the Tab key, for bash, zsh or fish",
}


FILES = {"import": "import_episodes"}  #: where a command's own name would be no name for a module


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
    elif arguments[0] in ("-V", "--version"):
        from worldmodels import __version__

        print(f"worldmodels {__version__}")
    elif arguments[0] in COMMANDS:
        run(arguments[0], arguments[1:])
    else:
        print(f"Error: There is no command {arguments[0]!r}. Choose one of: {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(2)


def script(name: str) -> None:
    """The same command, called as ``python scripts/NAME.py``; messages then name scripts."""
    console.COMMANDS_ARE_SCRIPTS = True
    run(name, sys.argv[1:])


def run(name: str, arguments: Sequence[str]) -> None:
    """One command with its arguments; ``--help`` is a text that was written before, for it must be quick."""
    if {"-h", "--help"} & set(arguments):
        from agents.cli.help import stored

        print(stored(name))
        return
    provenance.note_command("worldmodels", name, *arguments)
    sys.argv = [console.command(name), *("--help" if word == "--help-all" else word for word in arguments)]
    command(name)()


def command(name: str) -> Command[Any]:
    """A command by its name."""
    module_command: Command[Any] = import_module(f"agents.cli.{FILES.get(name, name.replace('-', '_'))}").COMMAND
    return module_command


def overview() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    ends = [
        "",
        "Any command, with --trust: follow what a run that is loaded names, modules of its environment included",
        "(docs/guide/other-peoples-agents.md).",
    ]
    return "\n".join(["worldmodels COMMAND [options]; every command explains itself with --help.", "", *lines, *ends])
