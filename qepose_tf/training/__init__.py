"""Strategy, schedule, callbacks and the training run."""
