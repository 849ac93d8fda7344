"""One module for each format that a model is written in."""
