"""What users call: arguments are parsed here, once, and everything below gets what was parsed."""
