"""Timings of alternating calls: medians and ratios of one run."""
