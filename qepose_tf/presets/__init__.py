"""Trained models that come with the package."""

from qepose_tf.presets.presets import PRESETS, Preset, preset_of

__all__ = ["PRESETS", "Preset", "preset_of"]
