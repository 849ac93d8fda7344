"""A model as one function without variables."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

# Not in TensorFlow's public names, though every converter of it goes this way.
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

Outputs = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Frozen:
    """A function from images to outputs whose weights are constants.

    A file with constants is written and loaded in a tenth of the time that a thousand
    variables take, each with operations of its own to save and restore it.

    Attributes:
        function: returns the outputs in the order of their names.
        specs: the outputs' names, shapes and types.
    """

    function: tf.types.experimental.ConcreteFunction
    specs: dict[str, tf.TensorSpec]

    @classmethod
    def of(cls, run: Callable[[tf.Tensor], Outputs], images: tf.TensorSpec) -> "Frozen":
        """Traces a function of images and freezes its variables."""
        traced = tf.function(run, input_signature=[images], autograph=False)
        concrete = traced.get_concrete_function()
        constant = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
        return cls(constant, concrete.structured_outputs)

    def __call__(self, images: tf.Tensor) -> Outputs:
        """The outputs by name."""
        # Freezing drops the names, and keeps the order of the flattened dict.
        rows = tf.nest.pack_sequence_as(self.specs, self.function(images))
        return {name: tf.identity(value, name=name) for name, value in rows.items()}


def write_signatures(folder: str, **signatures: tuple[Callable, tf.TensorSpec]) -> None:
    """Writes a SavedModel of functions of one tensor each.

    Args:
        folder: to write.
        **signatures: by name, a function without variables and what it takes.
    """
    served = {
        name: tf.function(run, input_signature=[spec], autograph=False)
        for name, (run, spec) in signatures.items()
    }
    tf.saved_model.save(tf.Module(), folder, signatures=served)
