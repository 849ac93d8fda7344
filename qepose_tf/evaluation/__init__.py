"""Metrics of detected people against the ground truth."""
