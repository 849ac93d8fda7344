"""Compares exported files with the Keras model."""
