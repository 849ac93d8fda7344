"""Layers: serialisation, modes of execution, gradients, and what they compute."""
