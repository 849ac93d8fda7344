"""An annotation file as a `CocoDataset`, and results in COCO's form."""
