"""Where independent tasks run: this process, workers, a Ray cluster."""
