"""All uses of the private parts of other libraries, in small functions, each with a test of its assumption."""
