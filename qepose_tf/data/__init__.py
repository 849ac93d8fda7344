"""COCO annotations and synthetic scenes to tf.data pipelines of facts."""
