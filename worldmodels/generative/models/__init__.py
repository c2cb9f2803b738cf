"""One file per family of image models, its options and its builder together; the registry names them."""
