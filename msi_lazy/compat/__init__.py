"""Everything that leans on how a library is built inside, in small functions, each watched by a test."""
