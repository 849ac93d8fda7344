"""Builds and names bodies, which turn images into feature maps at strides 4 to 32."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from qepose_tf.models.efficientnet import efficientnet_lite0
from qepose_tf.models.hrnet import VARIANTS, hrnet
from qepose_tf.models.pyramid import NAME as PYRAMID_NAME

STRIDES = (4, 8, 16, 32)
_PROBE = 64  # side in px of the image that a body's strides are measured with


def named_bodies() -> dict[str, Callable[..., keras.Model]]:
    """Returns the named bodies, as functions of `momentum` and `synchronized`."""
    rows = {variant: partial(hrnet, variant) for variant in VARIANTS}
    return rows | {"efficientnet_lite0": efficientnet_lite0}


def build_body(
    backbone: str | keras.Model, momentum: float = 0.9, synchronized: bool = False
) -> keras.Model:
    """Builds a body from its name, or makes one of a functional model.

    Args:
        backbone: The name of a body, or a functional model from `[B, H, W, 3]` of any
            size to maps at strides 4, 8, 16 and 32. The maps are a list of four
            outputs, or `pyramid_outputs` with the keys `P2` to `P5`, as in KerasHub.
        momentum: The momentum of batch normalisation. A model keeps its own.
        synchronized: Whether replicas share batch statistics. A model keeps its own.

    Returns:
        A functional model whose outputs are the four maps.

    Raises:
        ValueError: The name is unknown, or the model has other inputs or outputs.

    Example:
        >>> body = build_body("efficientnet_lite0")
        >>> [output.shape[-1] for output in body.outputs]
        [24, 24, 40, 40]
    """
    if isinstance(backbone, str):
        rows = named_bodies()
        if backbone not in rows:
            raise ValueError(
                f"expected a backbone of {sorted(rows)} or a keras.Model, "
                f"got {backbone!r}"
            )
        return rows[backbone](momentum=momentum, synchronized=synchronized)
    if not isinstance(backbone, keras.Model) or not hasattr(backbone, "outputs"):
        raise ValueError(
            "expected a backbone that is a name or a functional keras.Model, "
            f"got {backbone!r}"
        )
    return _four_maps(backbone)


def to_config(backbone: str | keras.Model) -> str | dict[str, Any]:
    """Returns the config of a backbone, from which `from_config` builds it again.

    Args:
        backbone: The name of a body, or a functional model.

    Returns:
        The name, or the config of the model.
    """
    if isinstance(backbone, str):
        return backbone
    return keras.saving.serialize_keras_object(_four_maps(backbone))


def from_config(
    config: str | dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> str | keras.Model:
    """Builds a backbone from the result of `to_config`, with initial weights.

    Args:
        config: The config of a backbone.
        custom_objects: Classes of the model that are not registered, by name.
    """
    if isinstance(config, str):
        return config
    return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)


def name_of(body: keras.Model) -> str | None:
    """Returns the name of a body in `named_bodies`, or None for a user's model."""
    layers = {layer.name for layer in body.layers}
    if "pyramid_2_lateral" in layers and "blocks_0_depthwise_conv" in layers:
        return "efficientnet_lite0"
    if "layer1_0_add" not in layers:
        return None
    width = body.outputs[0].shape[-1]
    return next((name for name, row in VARIANTS.items() if row.width == width), None)


def layers_up_to(body: keras.Model, stride: int) -> list[keras.Layer]:
    """Returns the first layers of a body, up to a stride.

    A short training freezes these layers, for they transfer best. Layers of a feature
    pyramid are never among them, because no public weights of them exist.

    Args:
        body: A body of `build_body`.
        stride: The largest stride of the layers: 2, 4, 8, 16 or 32.

    Returns:
        The layers from the input on, up to the first with a larger stride.
    """
    first = []
    for layer, here in layer_strides(body):
        if here > stride or layer.name.startswith(f"{PYRAMID_NAME}_"):
            break
        first.append(layer)
    return first


def layer_strides(body: keras.Model) -> list[tuple[keras.Layer, int]]:
    """Returns the layers of a body with the strides of their outputs.

    If the output of a layer is not a map, its stride is the side of a large image.

    Args:
        body: A body of `build_body`.
    """
    side = 16 * _PROBE
    shown = keras.Model(body.inputs[0], [layer.output for layer in body.layers])
    specs = shown.compute_output_spec(
        keras.KerasTensor((1, side, side, 3), body.inputs[0].dtype)
    )
    strides = []
    for layer, spec in zip(body.layers, specs, strict=True):
        shape = keras.tree.flatten(spec)[0].shape
        # Padding makes a map a little larger than the image divided by the stride.
        spatial = len(shape) == 4 and shape[1]
        stride = 2 ** round(math.log2(side / shape[1])) if spatial else side
        strides.append((layer, stride))
    return strides


def _four_maps(model: keras.Model) -> keras.Model:
    """Checks a user's model and returns one whose outputs are the four maps."""
    maps = getattr(model, "pyramid_outputs", None)
    if maps is not None:
        missing = [key for key in ("P2", "P3", "P4", "P5") if key not in maps]
        if missing:
            raise ValueError(
                f"backbone {model.name}: expected pyramid_outputs P2 to P5, "
                f"got {sorted(maps)}"
            )
        maps = [maps[key] for key in ("P2", "P3", "P4", "P5")]
    else:
        maps = list(model.outputs)
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape[1:]) != (None, None, 3):
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
        raise ValueError(
            f"backbone {model.name}: expected one input of shape (None, None, None, "
            f"3), build it with input_shape=(None, None, 3); got {shapes}"
        )
    body = model
    if not isinstance(model.output, list) or hasattr(model, "pyramid_outputs"):
        body = keras.Model(model.inputs[0], maps, name=model.name)
    probe = keras.KerasTensor((1, _PROBE, _PROBE, 3), model.inputs[0].dtype)
    specs = keras.tree.flatten(body.compute_output_spec(probe))
    sides = [tuple(spec.shape[1:3]) for spec in specs]
    if sides != [(_PROBE // stride,) * 2 for stride in STRIDES]:
        raise ValueError(
            f"backbone {model.name}: expected four maps at strides {STRIDES}, got maps "
            f"of {sides} for an image of {_PROBE}x{_PROBE}"
        )
    return body
