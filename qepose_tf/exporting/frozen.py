"""Turns a model into one function whose weights are constants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

# This function is not public in TensorFlow, though TensorFlow's converters use it.
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

Outputs = dict[str, tf.Tensor]
_LARGE = 4096  # bytes, from which `with_variables` makes a constant a variable


@dataclass(frozen=True)
class Frozen:
    """A function from images to outputs whose weights are constants.

    A file with constants is written and loaded in a tenth of the time that a thousand
    variables take, because each variable has operations that save and restore it.

    Attributes:
        function: A concrete function that returns the outputs in the order of their
            names.
        specs: The names, shapes and types of the outputs.
        variables: The variables that the function reads, see `with_variables`.
    """

    function: Any
    specs: dict[str, tf.TensorSpec]
    variables: tuple[tf.Variable, ...] = ()

    @classmethod
    def of(cls, run: Callable[[tf.Tensor], Outputs], images: tf.TensorSpec) -> "Frozen":
        """Traces a function and turns its variables into constants.

        Args:
            run: A function from images to outputs by name.
            images: The shape and type of the images.
        """
        traced = tf.function(run, input_signature=[images], autograph=False)
        concrete = traced.get_concrete_function()
        constant = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
        return cls(constant, concrete.structured_outputs)

    def with_variables(self) -> "Frozen":
        """Returns the same function with variables in place of its large constants.

        TensorFlow's graph optimiser copies constants several times when a loaded
        function is first called, which takes a second for every 20 MB of them.
        """
        graph = self.function.graph.as_graph_def()
        large = {
            node.name: tf.Variable(tf.make_ndarray(node.attr["value"].tensor))
            for node in graph.node
            if node.op == "Const" and node.ByteSize() >= _LARGE
        }
        small = [node for node in graph.node if node.name not in large]
        del graph.node[:]
        graph.node.extend(small)
        source = self.function.inputs[0]

        def run(images: tf.Tensor) -> list[tf.Tensor]:
            given = {name: variable.read_value() for name, variable in large.items()}
            return tf.graph_util.import_graph_def(
                graph,
                input_map={source.name: images, **given},
                return_elements=[output.name for output in self.function.outputs],
                name="",
            )

        spec = tf.TensorSpec(source.shape, source.dtype)
        traced = tf.function(run, input_signature=[spec], autograph=False)
        variables = tuple(large.values())
        return Frozen(traced.get_concrete_function(), self.specs, variables)

    def __call__(self, images: tf.Tensor) -> Outputs:
        """Returns the outputs by name."""
        # Freezing drops the names, but keeps the order of the flattened dict.
        rows = tf.nest.pack_sequence_as(self.specs, self.function(images))
        return {name: tf.identity(value, name=name) for name, value in rows.items()}


def write_signatures(
    folder: str,
    variables: tuple[tf.Variable, ...] = (),
    **signatures: tuple[Callable, tf.TensorSpec],
) -> None:
    """Writes a SavedModel whose signatures take one tensor each.

    Args:
        folder: The folder to write.
        variables: All variables that the functions read.
        **signatures: A function and the shape and type of its argument, by the name of
            the signature.
    """
    module = tf.Module()
    module.weights = variables
    served = {
        name: tf.function(run, input_signature=[spec], autograph=False)
        for name, (run, spec) in signatures.items()
    }
    tf.saved_model.save(module, folder, signatures=served)
