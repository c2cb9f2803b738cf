"""Moments of an agent as pictures, videos and windows."""
