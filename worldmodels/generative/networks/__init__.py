"""Networks that image models are built of."""
