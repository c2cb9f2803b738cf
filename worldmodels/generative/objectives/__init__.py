"""What image models minimise: losses, penalties, and the training step of each."""
