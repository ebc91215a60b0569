"""Public functions: arguments are parsed here, once, and passed on."""
