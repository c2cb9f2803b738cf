"""How good are the pictures? Distances, precision and recall, and what it takes to measure them."""
