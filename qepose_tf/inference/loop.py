"""The one loop from pictures to people in the pictures' own pixels."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from qepose_tf.images.letterbox import original_points
from qepose_tf.inference.detections import Detections, ImageDetector
from qepose_tf.ops.geometry import STRIDE

# How many pictures may wait for their turn, in batches, before one runs part-full.
_WAITING_BATCHES = 4
# Decoding runs beside the network: pictures are read ahead by so many threads.
READERS = min(4, os.cpu_count() or 1)

Key = TypeVar("Key")
Read = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Found(Generic[Key]):
    """The people of one picture.

    Attributes:
        key: What the caller calls the picture.
        image_hw: Height and width of the picture; (0, 0) where it cannot be read.
        people: Detections of one row, by descending score, in the picture's pixels;
            rows that score 0 are empty. None where the picture cannot be read.
        error: Why it cannot be read, else None.
    """

    key: Key
    image_hw: tuple[int, int]
    people: Detections | None
    error: OSError | ValueError | None = None


@dataclass
class _Picture:
    """A picture that was read and has not been yielded.

    `views` are those done so far, by scale, in the picture's pixels, and `cells_px` are
    the sides of their cells in the same pixels.
    """

    key: Any
    image_hw: tuple[int, int] = (0, 0)
    views: dict[int, Detections] = field(default_factory=dict)
    cells_px: dict[int, float] = field(default_factory=dict)
    error: OSError | ValueError | None = None


class _View(NamedTuple):
    """A picture at one of the network's sizes, waiting for a batch.

    `scale` counts the detector's; `resized` is what `letterbox` says of the picture.
    """

    index: int
    scale: int
    image: np.ndarray
    resized: np.ndarray


class PoseLoop:
    """Letterboxes pictures, batches those of one shape, and merges their scales.

    Results come in the order of the pictures, each as soon as it is ready. Memory does
    not grow with the number of pictures: a batch runs part-full before more than a few
    batches wait.

    Args:
        detector: What finds people in letterboxed images.
        short_side: Of the network's input at scale 1, in pixels.
        batch_size: Pictures that run at once; fewer of those that are larger than at
            scale 1.

    Raises:
        ValueError: A number is below 1.
    """

    def __init__(
        self, detector: ImageDetector, short_side: int, batch_size: int
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if short_side < 1:
            raise ValueError(f"short_side: expected at least 1 px, got {short_side}")
        self._detector = detector
        self._short_sides = detector.short_sides(short_side)
        self._batch_sizes = detector.batch_sizes(batch_size)
        # What waits at several scales takes no more memory than at one.
        area = max(1.0, sum(scale**2 for scale in detector.scales))
        self._most_waiting = max(batch_size, int(_WAITING_BATCHES * batch_size / area))

    def __call__(self, pictures: Iterable[tuple[Key, Read]]) -> Iterator[Found[Key]]:
        """Finds the people of pictures.

        Args:
            pictures: For each, what it is called and a function that returns its
                pixels `[H, W, 3]` uint8, RGB. The function runs on another thread; its
                `OSError` or `ValueError` is that picture's `error`.

        Yields:
            One `Found` for each picture, in their order.
        """
        waiting: dict[tuple, list[_View]] = {}  # by scale and shape
        ready: dict[int, _Picture] = {}  # in order
        for index, picture, views in self._read_ahead(pictures):
            ready[index] = picture
            for view in views:
                key = (view.scale, view.image.shape)
                waiting.setdefault(key, []).append(view)
                if len(waiting[key]) == self._batch_sizes[view.scale]:
                    self._run(waiting.pop(key), ready)
            yield from self._finished(ready)
            if len(ready) >= self._most_waiting:
                self._run_oldest(waiting, ready)
                yield from self._finished(ready)
        for group in waiting.values():
            self._run(group, ready)
        yield from self._finished(ready)

    def _read_ahead(
        self, pictures: Iterable[tuple[Any, Read]]
    ) -> Iterator[tuple[int, _Picture, list[_View]]]:
        """Pictures with their views, in order, read while the network runs."""
        begun: deque[Future] = deque()
        with ThreadPoolExecutor(READERS) as readers:
            try:
                for index, (key, read) in enumerate(pictures):
                    begun.append(readers.submit(self._read, index, key, read))
                    if len(begun) > 2 * READERS:
                        yield begun.popleft().result()
                while begun:
                    yield begun.popleft().result()
            finally:
                for future in begun:
                    future.cancel()

    def _read(
        self, index: int, key: Any, read: Read
    ) -> tuple[int, _Picture, list[_View]]:
        try:
            image = read()
        except (OSError, ValueError) as error:
            return index, _Picture(key, error=error), []
        views = [
            _View(index, scale, *self._detector.boxed(image, side))
            for scale, side in enumerate(self._short_sides)
        ]
        return index, _Picture(key, image.shape[:2]), views

    def _run(self, group: Sequence[_View], ready: dict[int, _Picture]) -> None:
        found = self._detector.detect(np.stack([view.image for view in group]))
        for row, view in enumerate(group):
            poses, *scores = (rows[row : row + 1] for rows in found)
            poses = original_points(poses, view.resized)
            picture = ready[view.index]
            picture.views[view.scale] = Detections(poses, *scores)
            picture.cells_px[view.scale] = float(STRIDE / view.resized.mean())

    def _run_oldest(
        self, waiting: dict[tuple, list[_View]], ready: dict[int, _Picture]
    ) -> None:
        oldest = next(iter(ready))
        for key in [key for key, group in waiting.items() if group[0].index == oldest]:
            self._run(waiting.pop(key), ready)

    def _finished(self, ready: dict[int, _Picture]) -> Iterator[Found]:
        """Takes out the first pictures as long as all their views are done."""
        count = len(self._detector.scales)
        while ready:
            picture = next(iter(ready.values()))
            if picture.error is None and len(picture.views) < count:
                return
            del ready[next(iter(ready))]
            people = None
            if picture.error is None:
                views = [picture.views[scale] for scale in range(count)]
                cells_px = [picture.cells_px[scale] for scale in range(count)]
                people = self._detector.merge(views, cells_px)
            yield Found(picture.key, picture.image_hw, people, picture.error)
