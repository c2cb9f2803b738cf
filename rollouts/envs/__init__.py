"""Environments as image worlds."""
