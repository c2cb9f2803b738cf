"""Writes the texts of ``--help`` anew: ``python -m agents.cli.help``."""

from __future__ import annotations

from agents.cli.help import FOLDER, screen
from agents.cli.main import COMMANDS, command

if __name__ == "__main__":
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name in COMMANDS:
        (FOLDER / f"{name}.txt").write_text(screen(name, command(name)) + "\n")
