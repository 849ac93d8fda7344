"""The body, the whole model, its files and its figures."""
