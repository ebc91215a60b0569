"""Oracles, strategies, faults and counters that several test modules share."""
