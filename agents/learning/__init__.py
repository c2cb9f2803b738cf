"""How C is improved."""
