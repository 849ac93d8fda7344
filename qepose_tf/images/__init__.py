"""Pixels in memory: decoding, letterboxing, finding files."""
