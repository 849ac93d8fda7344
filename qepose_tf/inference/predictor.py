"""Poses of the people in pictures: files, folders, globs and arrays."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.images.decoding import read_image
from qepose_tf.images.letterbox import capped_short_side, letterbox, original_points
from qepose_tf.inference.detector import Detections, Detector
from qepose_tf.models import PoseEstimator, load_model

# How many pictures may wait for their turn, in batches, before one runs part-full.
_WAITING_BATCHES = 4

logger = logging.getLogger(__name__)

Source = Path | str | np.ndarray


@dataclass(frozen=True)
class ImagePoses:
    """The people found in one picture, best first.

    Attributes:
        source: the path or the array that was given.
        image_hw: height and width of the picture, its EXIF orientation applied.
        poses: [P, K, 2] float32, (x, y) in the picture's pixels.
        scores: [P] float32, the predicted quality of each pose.
        keypoint_scores: [P, K] float32.
    """

    source: Source
    image_hw: tuple[int, int]
    poses: np.ndarray
    scores: np.ndarray
    keypoint_scores: np.ndarray


@dataclass
class _Picture:
    """A picture that was read and has not been yielded.

    `found` are the views done so far, by scale, in the picture's pixels.
    """

    source: Source
    image_hw: tuple[int, int]
    found: dict[int, Detections] = field(default_factory=dict)


@dataclass(frozen=True)
class _View:
    """A picture at one of the network's sizes, waiting for a batch.

    `scale` counts the detector's; `resized` is what `letterbox` says of the picture.
    """

    index: int
    scale: int
    image: np.ndarray
    resized: np.ndarray


class Predictor:
    """Finds people and their keypoints with a `PoseEstimator`.

    A picture's short side is brought to `short_side` and its aspect ratio is kept.
    Pictures of equal padded size run together. EXIF orientation is honoured.

    Args:
        model: a model, or the path of a `.keras` file.
        batch_size: pictures that run at once; fewer of those that are larger than
            at scale 1, and twice as many images with `flip`.
        min_score: only poses that score more are returned.
        short_side: in pixels; the model's input size where it's None.
        flip: look at the mirrored picture, too.
        scales: look at the picture in these multiples of its size, and merge.
        **decoding: `nms_distance`, `max_detections` and `score_threshold` of
            `Detector`; the model's by default.

    Attributes:
        failures: (source, reason) of each unreadable picture of the last `predict`.
    """

    def __init__(
        self,
        model: PoseEstimator | str | Path,
        *,
        batch_size: int = 8,
        min_score: float = 0.01,
        short_side: int | None = None,
        flip: bool = False,
        scales: Iterable[float] = (1.0,),
        **decoding: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side: expected at least 1 px, got {short_side}")
        self.model = load_model(model) if isinstance(model, str | Path) else model
        self.skeleton = self.model.skeleton
        self.batch_size = batch_size
        self.min_score = min_score
        self.short_side = short_side or self.model.input_size
        self.failures: list[tuple[Source, str]] = []
        self._detector = Detector(self.model, flip=flip, scales=scales, **decoding)
        self._batch_sizes = self._detector.batch_sizes(batch_size)
        # What waits at several scales takes no more memory than at one.
        area = max(1.0, sum(scale**2 for scale in self._detector.scales))
        self._most_waiting = max(batch_size, int(_WAITING_BATCHES * batch_size / area))

    def predict(self, sources: Iterable[Source] | Source) -> Iterator[ImagePoses]:
        """Yields the poses of each readable picture, in the order given.

        Args:
            sources: paths or [H, W, 3] uint8 RGB arrays; one or many. Folders and
                globs become paths by `find_images`.

        Raises:
            ValueError: if an array isn't a picture, or, at the end, if no picture at
                all could be read. One unreadable file among others is a warning and
                an entry in `failures`.
        """
        if isinstance(sources, str | Path | np.ndarray):
            sources = [sources]
        self.failures = []
        pictures: dict[int, _Picture] = {}  # in order
        waiting: dict[tuple, list[_View]] = {}  # by scale and shape
        any_read = False
        for index, source in enumerate(sources):
            image = self._read(index, source)
            if image is None:
                continue
            any_read = True
            pictures[index] = _Picture(source, image.shape[:2])
            for view in self._views(index, image):
                key = (view.scale, view.image.shape)
                waiting.setdefault(key, []).append(view)
                if len(waiting[key]) == self._batch_sizes[view.scale]:
                    self._run(waiting.pop(key), pictures)
            yield from self._finished(pictures)
            if len(pictures) >= self._most_waiting:
                self._run_oldest(waiting, pictures)
                yield from self._finished(pictures)
        for group in waiting.values():
            self._run(group, pictures)
        yield from self._finished(pictures)
        if self.failures and not any_read:
            raise ValueError(
                f"none of {len(self.failures)} pictures could be read, the first: "
                f"{self.failures[0][1]}"
            )

    def _read(self, index: int, source: Source) -> np.ndarray | None:
        if isinstance(source, np.ndarray):
            image = source
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(
                    f"picture {index}: expected a [H, W, 3] uint8 array, got "
                    f"{list(image.shape)} {image.dtype}"
                )
        else:
            try:
                image = read_image(source, exif=True)
            except (OSError, ValueError) as error:
                logger.warning("skipped: %s", error)
                self.failures.append((source, str(error)))
                return None
        height, width = image.shape[:2]
        if not height or not width:
            raise ValueError(f"picture {index}: expected pixels, got {height}x{width}")
        return image

    def _views(self, index: int, image: np.ndarray) -> Iterator[_View]:
        sides = self._detector.short_sides(self.short_side)
        for scale, side in enumerate(sides):
            side = capped_short_side(*image.shape[:2], side)
            content, resized = letterbox(image, side, self.model.mean)
            yield _View(index, scale, content, resized)

    def _run(self, group: Sequence[_View], pictures: dict[int, _Picture]) -> None:
        found = self._detector.detect(np.stack([view.image for view in group]))
        for row, view in enumerate(group):
            poses, *scores = (rows[row : row + 1] for rows in found)
            poses = original_points(poses, view.resized)
            pictures[view.index].found[view.scale] = Detections(poses, *scores)

    def _run_oldest(
        self, waiting: dict[tuple, list[_View]], pictures: dict[int, _Picture]
    ) -> None:
        oldest = next(iter(pictures))
        for key in [key for key, group in waiting.items() if group[0].index == oldest]:
            self._run(waiting.pop(key), pictures)

    def _finished(self, pictures: dict[int, _Picture]) -> Iterator[ImagePoses]:
        """Takes out the first pictures as long as all their views are done."""
        count = len(self._detector.scales)
        while pictures and len(next(iter(pictures.values())).found) == count:
            picture = pictures.pop(next(iter(pictures)))
            views = [picture.found[scale] for scale in range(count)]
            poses, scores, keypoint_scores = (
                rows[0] for rows in self._detector.merge(views)
            )
            # An empty row scores 0 and stays out whatever the threshold is.
            kept = scores > max(self.min_score, 0.0)
            yield ImagePoses(
                source=picture.source,
                image_hw=picture.image_hw,
                poses=poses[kept],
                scores=scores[kept],
                keypoint_scores=keypoint_scores[kept],
            )
