"""What level 0 is read from."""
