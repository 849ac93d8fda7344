"""Trained models that come with the package."""

from qepose_tf.presets.presets import PRESETS, Preset

__all__ = ["PRESETS", "Preset"]
