"""Run directories: stages, files, options, provenance."""
