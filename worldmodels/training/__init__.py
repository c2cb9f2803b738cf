"""What all training by gradient shares."""
