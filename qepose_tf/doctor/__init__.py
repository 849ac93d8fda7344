"""What a model would see of a data set, and what in it is likely to be a mistake."""
