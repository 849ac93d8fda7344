"""A file that `qepose export` wrote, as a model that needs nothing but its runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.images.decoding import resize_image
from qepose_tf.images.letterbox import capped_short_side, fit_inside
from qepose_tf.inference.detections import Detections
from qepose_tf.inference.exported_files import METADATA, found_model, loaded, metadata
from qepose_tf.inference.native_logs import native_logs_hidden
from qepose_tf.ops.geometry import fit_short_side
from qepose_tf.skeleton import Skeleton


class ExportedModel:
    """A SavedModel, TFLite, ONNX or OpenVINO file of `qepose export`.

    It finds people as a `Detector` does, once in each image, with the decoder that is
    in the file. Skeleton, size and colour of the padding are read from the file's own
    metadata. TFLite, ONNX and OpenVINO need no TensorFlow.

    Args:
        path: A `.tflite`, `.onnx` or OpenVINO `.xml` file, or the folder of a
            SavedModel or of OpenVINO.

    Attributes:
        path: What the runtime loads.
        format: A key of `RUNTIMES`.
        precision: The precision that the file was exported in.
        skeleton: What the keypoints are.
        input_size: The short side of the file's images in pixels.
        input_hw: Height and width of the file's images; None if they may have any.
        batch: The number of images of a call; None for any number.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: The file was not written by `qepose export`, or does not load.
        ImportError: The runtime is not installed.

    Example:
        >>> model = ExportedModel("people.tflite")  # doctest: +SKIP
        >>> model.skeleton.num_keypoints  # doctest: +SKIP
        17
    """

    scales = (1.0,)

    def __init__(self, path: str | Path) -> None:
        self.format, self.path = found_model(Path(path))
        with native_logs_hidden():
            self._take(metadata(self.format, self.path))
            self._run = loaded(self.format, self.path)

    def __repr__(self) -> str:
        size = f"{self.input_size} px"
        if self.input_hw is not None:
            size = f"{self.input_hw[0]}x{self.input_hw[1]} px"
        return f"<ExportedModel {self.path} ({self.format} {self.precision}): {size}>"

    def _take(self, described: Any) -> None:
        """Reads what the metadata say, as `exporting.pose_json.describe` made them."""
        try:
            image, letterbox = described["input"], described["letterbox"]
            self.precision = str(described["precision"])
            self.skeleton = Skeleton.from_dict(described["skeleton"])
            self.batch: int | None = image["batch"] and int(image["batch"])
            self.input_hw: tuple[int, int] | None = None
            self._fill = [0, 0, 0]
            if letterbox["inside"]:
                self.input_size = int(letterbox["short_side"])
            else:
                self.input_hw = int(image["height"]), int(image["width"])
                self.input_size = min(self.input_hw)
                self._fill = [int(value) for value in letterbox["fill"]]
        except (LookupError, TypeError, ValueError) as error:
            reason = f"no {error}" if isinstance(error, LookupError) else str(error)
            raise ValueError(
                f"{self.path}: its {METADATA} is not that of this version of "
                f"qepose_tf: {reason}; export the model again"
            ) from None

    def check_protocol(self, **protocol: Any) -> None:
        """Refuses what is decided when a model is exported.

        Args:
            **protocol: The options of `Detector`, and `short_side`.

        Raises:
            ValueError: An option is not the default.
            TypeError: There is no such option.
        """
        defaults: dict[str, Any] = {"flip": False, "short_side": None}
        for name in ("nms_distance", "max_detections", "score_threshold"):
            defaults[name] = None
        for name, value in protocol.items():
            if name == "scales":
                asked = [float(scale) for scale in value] != [1.0]
            elif name in defaults:
                asked = value != defaults[name]
            else:
                raise TypeError(f"unexpected argument {name!r}")
            if asked:
                raise ValueError(
                    f"{name}: {self.path} looks at an image as it was exported; use "
                    f"the .keras model for {name} {value!r}"
                )

    def short_sides(self, short_side: int) -> list[int]:
        """As `Detector.short_sides`; the file's size cannot be changed."""
        return [short_side]

    def batch_sizes(self, batch_size: int) -> list[int]:
        """The images of a call: the file's, where it has a fixed number."""
        return [self.batch or batch_size]

    def boxed(
        self, image: np.ndarray, short_side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """An image in the size of the file.

        Args:
            image: `[H, W, 3]` uint8.
            short_side: Of a file that takes any size, in pixels.

        Returns:
            `[H', W', 3]` uint8, and the scale `[2]` (x, y) that `original_points`
            undoes.
        """
        if self.input_hw is not None:
            return fit_inside(image, *self.input_hw, self._fill)
        height, width = image.shape[:2]
        side = capped_short_side(height, width, short_side)
        # The file would resize the image, too, with a kernel of its own.
        resized_hw, _ = fit_short_side(height, width, side)
        scale = np.array([resized_hw[1] / width, resized_hw[0] / height], np.float32)
        return resize_image(image, *resized_hw), scale

    def detect(self, images: Any) -> Detections:
        """The people of images `[B, H, W, 3]` uint8, in pixels of these.

        Fewer images than the file's batch are filled up.
        """
        images = np.asarray(images)
        count = len(images)
        if self.batch is not None and count < self.batch:
            images = np.concatenate([images, images[-1:].repeat(self.batch - count, 0)])
        found = self._run(images)
        return Detections(
            *(np.array(found[name][:count]) for name in Detections._fields)
        )

    def merge(
        self, views: Sequence[Detections], cells_px: Sequence[float] | None = None
    ) -> Detections:
        """The only view."""
        (view,) = views
        return view
