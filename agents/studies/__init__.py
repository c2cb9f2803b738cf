"""Many evolutions side by side."""
