"""The rows of the paper's Tables 2, 3 and 4, trained on drawn scenes."""
