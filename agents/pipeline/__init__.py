"""Presets, rounds, and all stages in order."""
