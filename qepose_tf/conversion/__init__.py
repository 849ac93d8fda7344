"""Other tools' labels as COCO files: read, split into train and val, written whole."""
