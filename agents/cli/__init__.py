"""The command line: one file per command, each with its options and its examples."""
