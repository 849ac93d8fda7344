"""Training: devices, schedule, callbacks and the run."""
