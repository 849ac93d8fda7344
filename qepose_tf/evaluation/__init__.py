"""People and ground truth: figures."""
