"""Poses of the people in pictures: files, folders, globs and arrays."""

import glob
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from qepose_tf.data.images import read_image
from qepose_tf.data.letterbox import letterbox, original_points
from qepose_tf.models import PoseEstimator, load_model

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .png .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .jp2 .avif".split()
)
# A strip is shrunk until its long side is at most this many short sides of the
# network: a 4000x1 picture at its full aspect ratio would fill any memory.
_MAX_ASPECT = 4.0
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


@dataclass(frozen=True)
class _Prepared:
    """A picture at the network's size, waiting for a batch."""

    index: int
    source: Source
    image_hw: tuple[int, int]
    image: np.ndarray
    scale: np.ndarray


class Predictor:
    """Finds people and their keypoints with a `PoseEstimator`.

    A picture's short side is brought to `short_side` and its aspect ratio is kept.
    Pictures of equal padded size run together. EXIF orientation is honoured.

    Args:
        model: a model, or the path of a `.keras` file.
        batch_size: pictures that run at once.
        min_score: only poses that score more are returned.
        short_side: in pixels; the model's input size where it's None.

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
        # One trace for every shape: tracing W32 costs more than many batches do.
        self._detect = tf.function(
            self._run, input_signature=[tf.TensorSpec([None, None, None, 3])]
        )

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
        waiting: dict[tuple[int, ...], list[_Prepared]] = {}
        order: list[int] = []  # read and not yet yielded
        done: dict[int, ImagePoses] = {}
        any_read = False
        for index, source in enumerate(sources):
            prepared = self._prepare(index, source)
            if prepared is None:
                continue
            any_read = True
            order.append(index)
            shape = prepared.image.shape
            group = waiting.setdefault(shape, [])
            group.append(prepared)
            if len(group) == self.batch_size:
                done |= self._finish(waiting.pop(shape))
            elif len(order) >= _WAITING_BATCHES * self.batch_size:
                oldest = min(waiting.values(), key=lambda group: group[0].index)
                done |= self._finish(waiting.pop(oldest[0].image.shape))
            while order and order[0] in done:
                yield done.pop(order.pop(0))
        for group in waiting.values():
            done |= self._finish(group)
        for index in order:
            yield done.pop(index)
        if self.failures and not any_read:
            raise ValueError(
                f"none of {len(self.failures)} pictures could be read, the first: "
                f"{self.failures[0][1]}"
            )

    def _prepare(self, index: int, source: Source) -> _Prepared | None:
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
        content, scale = letterbox(
            image, self._short_side(height, width), self.model.mean, self.model.std
        )
        return _Prepared(index, source, (height, width), content, scale)

    def _short_side(self, height: int, width: int) -> int:
        aspect = max(height, width) / min(height, width)
        shrink = min(1.0, _MAX_ASPECT / aspect)
        return max(1, math.floor(self.short_side * shrink))

    def _finish(self, group: Sequence[_Prepared]) -> dict[int, ImagePoses]:
        images = np.stack([prepared.image for prepared in group])
        outputs = {name: value.numpy() for name, value in self._detect(images).items()}
        results = {}
        for row, prepared in enumerate(group):
            scores = outputs["scores"][row]
            # An empty row scores 0 and stays out whatever the threshold is.
            kept = scores > max(self.min_score, 0.0)
            results[prepared.index] = ImagePoses(
                source=prepared.source,
                image_hw=prepared.image_hw,
                poses=original_points(outputs["poses"][row][kept], prepared.scale),
                scores=scores[kept],
                keypoint_scores=outputs["keypoint_scores"][row][kept],
            )
        return results

    def _run(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = self.model(images, training=False)
        return {key: outputs[key] for key in ("poses", "scores", "keypoint_scores")}


def find_images(sources: Iterable[str | Path] | str | Path) -> list[Path]:
    """Lists the image files that paths, folders and glob patterns stand for.

    Files are taken whatever their name ends in; folders (not those below them) and
    patterns give files with an image's suffix, sorted. Each file is listed once.

    Raises:
        FileNotFoundError: if a path doesn't exist.
        ValueError: if a folder or a pattern holds no image, or nothing was asked for.
    """
    if isinstance(sources, str | Path):
        sources = [sources]
    found: dict[Path, Path] = {}
    for source in sources:
        for path in _matches(source):
            found.setdefault(path.resolve(), path)
    if not found:
        raise ValueError("expected an image, a folder or a pattern, got no source")
    return list(found.values())


def _matches(source: str | Path) -> list[Path]:
    path = Path(source)
    # A file may be called a[1].jpg: what exists is never read as a pattern.
    if path.is_file():
        return [path]
    if path.is_dir():
        candidates = list(path.iterdir())
    elif glob.has_magic(str(source)):
        candidates = [Path(name) for name in glob.glob(str(source), recursive=True)]
    else:
        raise FileNotFoundError(f"{source}: no such file or folder")
    images = [p for p in candidates if p.suffix.lower() in IMAGE_SUFFIXES]
    images = sorted(p for p in images if p.is_file())
    if not images:
        raise ValueError(f"{source}: expected images, found none")
    return images
