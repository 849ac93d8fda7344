"""One reader per kind of file: each gives a `LabelSet`."""
