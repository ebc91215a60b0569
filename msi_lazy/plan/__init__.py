"""Plans: pure integer arithmetic, no pixels."""
