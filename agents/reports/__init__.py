"""A run, or several side by side, as one HTML file that needs no server and no network."""
