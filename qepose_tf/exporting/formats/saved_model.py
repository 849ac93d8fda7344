"""Writes a SavedModel that takes images, or image files, of any size."""

import functools
import io
import json
from pathlib import Path

import tensorflow as tf
from PIL import Image

from qepose_tf.exporting import pose_json as metadata
from qepose_tf.exporting.formats.tf_serving_warmup import write_warmup
from qepose_tf.exporting.frozen import Frozen, write_signatures
from qepose_tf.exporting.served_graph import detect_any_size, detect_encoded
from qepose_tf.images.drawn_image import made_image
from qepose_tf.models.pose_model import PoseModel

MARKER = "saved_model.pb"


def version_folder(path: Path) -> Path:
    """Returns the folder of version 1 below a path, as TF Serving expects it.

    Args:
        path: A folder. If its name is a number, it is the folder of this version.

    Returns:
        `path/1`, or `path` itself if its name is a number.
    """
    return path if path.name.isdigit() else path / "1"


def write_saved_model(model: PoseModel, folder: Path) -> None:
    """Writes a SavedModel that `tf.saved_model.load` and TF Serving load.

    The signature `serving_default` takes `images`, uint8 RGB `[B, H, W, 3]` of any
    size, and `serve_encoded` takes `encoded`, `[B]` JPEG or PNG files of any sizes.
    Both return the outputs that `served_graph` describes. `assets.extra` holds warm-up
    requests and `pose.json`.

    Args:
        model: A model in float32.
        folder: The folder to write.
    """
    images = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
    serve = Frozen.of(functools.partial(detect_any_size, model), images)
    serve = serve.with_variables()  # makes the first call faster
    encoded = tf.TensorSpec([None], tf.string, name="encoded")
    write_signatures(
        str(folder),
        serve.variables,
        serving_default=(serve, images),
        serve_encoded=(functools.partial(detect_encoded, serve), encoded),
    )
    extra = folder / "assets.extra"
    extra.mkdir()
    content = json.dumps(metadata.describe(model, "fp32"), indent=2)
    (extra / metadata.FILE).write_text(content, encoding="utf-8")
    image = made_image(model.input_size, model.input_size, seed=0)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG")
    write_warmup(
        extra,
        [
            ("serving_default", {"images": image[None]}),
            ("serve_encoded", {"encoded": [file.getvalue()]}),
        ],
    )
