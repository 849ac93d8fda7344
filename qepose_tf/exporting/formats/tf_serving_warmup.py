"""Writes warm-up requests, which TF Serving runs before it uses a new version.

The messages are those of TF Serving's `prediction_log.proto`, `predict.proto` and
`model.proto`, with the fields that a request needs. They are described here because TF
Serving's Python package would install another version of TensorFlow.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FILE = "tf_serving_warmup_requests"
_PACKAGE = "qepose_tf.serving"
# protobuf makes its message classes as it is imported, which no type checker sees.
_descriptors: Any = descriptor_pb2


def write_warmup(
    folder: Path, requests: list[tuple[str, Mapping[str, object]]]
) -> None:
    """Writes `tf_serving_warmup_requests`.

    Args:
        folder: The folder `assets.extra` of a SavedModel.
        requests: The name of a signature and its inputs as arrays, for each request.
    """
    writer = tf.io.TFRecordWriter(str(folder / FILE))
    with writer:
        for signature, inputs in requests:
            log = _messages()()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())


@functools.cache
def _messages() -> Any:
    """Returns the class of TF Serving's message `PredictionLog`."""
    file = _descriptors.FileDescriptorProto(
        name="qepose_tf/serving.proto", package=_PACKAGE, syntax="proto3"
    )
    tensor = tf.make_tensor_proto(0).DESCRIPTOR
    file.dependency.append(tensor.file.name)
    model = file.message_type.add(name="ModelSpec")
    _field(model, "name", 1)
    _field(model, "signature_name", 3)
    request = file.message_type.add(name="PredictRequest")
    _field(request, "model_spec", 1, f"{_PACKAGE}.ModelSpec")
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    _field(entry, "key", 1)
    _field(entry, "value", 2, tensor.full_name)
    inputs = f"{_PACKAGE}.PredictRequest.InputsEntry"
    _field(request, "inputs", 2, inputs, repeated=True)
    predict = file.message_type.add(name="PredictLog")
    _field(predict, "request", 1, f"{_PACKAGE}.PredictRequest")
    log = file.message_type.add(name="PredictionLog")
    _field(log, "predict_log", 6, f"{_PACKAGE}.PredictLog")
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.PredictionLog")
    )


def _field(
    message: Any,
    name: str,
    number: int,
    of: str | None = None,
    repeated: bool = False,
) -> None:
    """Adds a field that holds a string, or a message of the type `of`."""
    kinds = _descriptors.FieldDescriptorProto
    message.field.add(
        name=name,
        number=number,
        label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
        type=kinds.TYPE_MESSAGE if of else kinds.TYPE_STRING,
        type_name=f".{of}" if of else None,
    )
