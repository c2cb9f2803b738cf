"""The books of a run: costs, commands, experiments, releases."""
