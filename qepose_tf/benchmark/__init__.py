"""Honest timings: alternating calls, medians and ratios of one run."""
