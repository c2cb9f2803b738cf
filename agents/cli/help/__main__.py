"""Writes the texts of ``--help`` anew: ``python -m agents.cli.help``."""

from __future__ import annotations

from agents.cli.help import FOLDER, screen
from agents.cli.main import COMMANDS, command

if __name__ == "__main__":
    texts = {f"{name}.txt": screen(name, command(name)) + "\n" for name in COMMANDS}
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text)
