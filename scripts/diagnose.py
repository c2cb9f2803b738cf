"""The command ``worldmodels diagnose`` in a clone of the repository."""

from agents.cli.main import script

if __name__ == "__main__":
    script("diagnose")
