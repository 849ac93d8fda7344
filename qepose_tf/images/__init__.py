"""Image files and pixels: finding, decoding, letterboxing and drawing."""
