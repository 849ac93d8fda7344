"""A traced model and how it looks at an image: once, mirrored, at several sizes."""

import functools
import math
import numbers
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from qepose_tf.images.letterbox import capped_short_side, letterbox
from qepose_tf.inference.detections import Detections
from qepose_tf.models import PoseModel
from qepose_tf.models.multi_view import detect, merge
from qepose_tf.ops.geometry import STRIDE

MAX_SCALE = 8.0
DECODING = ("max_detections", "score_threshold", "nms_distance")


class Detector:
    """Finds people in letterboxed images, by the test-time protocol that is asked for.

    A model is traced once for every shape, and once for all detectors of the same
    settings. Without any setting the model's own decoder does the work.

    Args:
        model: a `PoseEstimator` or a `DEKR`.
        flip: see `models.multi_view.detect`.
        scales: sizes to look at an image in, as multiples of its usual one; whoever
            makes the images does so at each of `short_sides`, and merges what
            was found there by `merge`. A repeated scale counts once.
        nms_distance: of the pose suppression, also between scales; the model's where
            it is None.
        max_detections: cells of a view that are decoded, and people of an image; the
            model's where it is None.
        score_threshold: people who score more are kept; the model's where it is None.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        model: PoseModel,
        *,
        flip: bool = False,
        scales: Iterable[float] = (1.0,),
        nms_distance: float | None = None,
        max_detections: int | None = None,
        score_threshold: float | None = None,
    ) -> None:
        self.model = model
        self.scales = _checked_scales(scales)
        own = model.decoder_settings.to_dict()
        asked = _checked_decoding(nms_distance, max_detections, score_threshold)
        decoding = {**own, **asked}
        self.max_detections = int(decoding["max_detections"])
        plain = not flip and decoding == own
        self._detect = _traced(model, None if plain else {"flip": flip, **decoding})
        self._merge = _merging(
            len(self.scales) * self.max_detections,
            model.skeleton.num_keypoints,
            self.max_detections,
            decoding["nms_distance"],
        )

    def short_sides(self, short_side: int) -> list[int]:
        """The short side of an image at each scale, in pixels."""
        return [max(1, round(short_side * scale)) for scale in self.scales]

    def batch_sizes(self, batch_size: int) -> list[int]:
        """Images at each scale that take no more memory than a batch of scale 1."""
        return [max(1, int(batch_size / max(1.0, s) ** 2)) for s in self.scales]

    def boxed(
        self, image: np.ndarray, short_side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """An image as `detect` takes it, see `letterbox`; a strip is made smaller.

        Args:
            image: `[H, W, 3]` uint8.
            short_side: One of `short_sides`, in pixels.

        Returns:
            `[H', W', 3]` float32, and the scale `[2]` (x, y) that `original_points`
            undoes.
        """
        side = capped_short_side(*image.shape[:2], short_side)
        return letterbox(image, side, self.model.mean)

    def detect(self, images: Any) -> Detections:
        """The people of letterboxed images `[B, H, W, 3]`, in pixels of these.

        Args:
            images: RGB in 0..255; float32, or of another type that is cast to it.
        """
        images = tf.cast(images, tf.float32)
        return Detections(*(rows.numpy() for rows in self._detect(images)))

    def merge(
        self, views: Sequence[Detections], cells_px: Sequence[float] | None = None
    ) -> Detections:
        """The people of images that were seen at every scale.

        Args:
            views: what `detect` found, scale by scale, brought to pixels of the
                original images. A single scale's is returned as it is.
            cells_px: of each scale, the side of a cell of the score map in the same
                pixels; by default those of an image that has the usual size.
        """
        if len(views) == 1:
            return views[0]
        if cells_px is None:
            cells_px = [STRIDE / scale for scale in self.scales]
        joined = [np.concatenate(rows, axis=1) for rows in zip(*views, strict=True)]
        sides = [
            np.full(view.scores.shape, cell, np.float32)
            for view, cell in zip(views, cells_px, strict=True)
        ]
        joined.append(np.concatenate(sides, axis=1))
        return Detections(*(rows.numpy() for rows in self._merge(*joined)))


_Traced = Callable[[Any], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]
# Tracing W32 costs more than many batches do, and a training run validates often. The
# functions know their model weakly, or it would never be freed.
_TRACED: weakref.WeakKeyDictionary[PoseModel, dict[Any, _Traced]] = (
    weakref.WeakKeyDictionary()
)


def _traced(model: PoseModel, settings: dict[str, Any] | None) -> _Traced:
    """The model as a function of images of any shape, traced at its first call.

    `settings` are those of `detect`; where it is None, the model's decoder decides.
    """
    known = _TRACED.setdefault(model, {})
    key = None if settings is None else tuple(settings.values())
    if key in known:
        return known[key]
    known_weakly = weakref.ref(model)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
    def run(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        model = known_weakly()
        assert model is not None  # Whoever calls this function holds its model.
        if settings is None:
            outputs = model(images, training=False)
        else:
            outputs = detect(model, images, **settings)
        return outputs["poses"], outputs["scores"], outputs["keypoint_scores"]

    known[key] = run
    return run


def _merging(
    rows: int, keypoints: int, max_detections: int, nms_distance: float
) -> Callable[..., Sequence[tf.Tensor]]:
    run = functools.partial(
        merge, max_detections=max_detections, nms_distance=nms_distance
    )
    line = [None, rows]  # of scores, or of cells' sides
    shapes = ([*line, keypoints, 2], line, [*line, keypoints], line)
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(run, input_signature=signature)


def _checked_scales(scales: Iterable[float]) -> tuple[float, ...]:
    message = f"scales: expected numbers above 0 and up to {MAX_SCALE:g}, got"
    if isinstance(scales, str) or not isinstance(scales, Iterable):
        raise ValueError(f"{message} {scales!r}")
    scales = list(scales)
    if not scales:
        raise ValueError(f"{message} none")
    for scale in scales:
        # written so that NaN is refused
        if not isinstance(scale, numbers.Real) or not 0 < scale <= MAX_SCALE:
            raise ValueError(f"{message} {scale!r}")
    return tuple(dict.fromkeys(map(float, scales)))


def _checked_decoding(
    nms_distance: float | None,
    max_detections: int | None,
    score_threshold: float | None,
) -> dict[str, float]:
    """Those that are given, by name."""
    # written so that NaN is refused
    if nms_distance is not None and not 0 <= nms_distance < math.inf:
        raise ValueError(f"nms_distance: expected 0 or more, got {nms_distance!r}")
    if score_threshold is not None and not 0 <= score_threshold <= 1:
        raise ValueError(f"score_threshold: expected 0 to 1, got {score_threshold!r}")
    whole = isinstance(max_detections, numbers.Integral)
    if max_detections is not None and not (whole and max_detections > 0):
        raise ValueError(
            f"max_detections: expected a whole number above 0, got {max_detections!r}"
        )
    values = (max_detections, score_threshold, nms_distance)
    pairs = zip(DECODING, values, strict=True)
    return {name: value for name, value in pairs if value is not None}
