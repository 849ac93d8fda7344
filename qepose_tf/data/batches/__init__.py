"""A `CocoDataset` as tf.data batches."""
