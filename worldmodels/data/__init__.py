"""Frames and latents for training."""
