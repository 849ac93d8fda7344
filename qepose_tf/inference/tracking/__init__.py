"""People who keep their number from frame to frame of a video."""
