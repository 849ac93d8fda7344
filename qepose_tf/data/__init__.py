"""Data sets: read, drawn, prepared, and made into batches."""
