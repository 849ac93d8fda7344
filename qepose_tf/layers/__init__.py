"""Keras layers: keypoint queries, pose queries and the CIR target."""
