"""One write: job, layout, checks, hierarchy, fingerprint, memory, finish."""
