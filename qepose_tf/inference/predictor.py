"""Poses of the people in pictures and videos: files, folders, globs and arrays."""

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from qepose_tf.images.decoding import read_image
from qepose_tf.images.finding import find_sources
from qepose_tf.images.frames import Frame, FrameReader, frames_of
from qepose_tf.images.video import Video, VideoFrame, VideoSpan
from qepose_tf.images.video_sources import is_video
from qepose_tf.inference.detections import Detections
from qepose_tf.inference.exported_model import ExportedModel
from qepose_tf.inference.following import Follower
from qepose_tf.inference.loop import Found, PoseLoop, Read
from qepose_tf.inference.model_files import detector_of, read_model
from qepose_tf.inference.people import ImagePoses, Source, Unreadable

if TYPE_CHECKING:
    from qepose_tf.models import PoseModel

logger = logging.getLogger(__name__)


class Predictor:
    """Finds people and their keypoints with a model of any kind.

    A picture's short side is brought to `short_side` and its aspect ratio is kept.
    Pictures of equal padded size run together. EXIF orientation and the rotation of
    videos are honoured. Videos are decoded beside the network, a few frames ahead.

    Args:
        model: A `PoseEstimator` or `DEKR`, the name of a preset, or the path of a
            `.keras` file or of what `qepose export` wrote. TFLite, ONNX and OpenVINO
            files need no TensorFlow; they look at a picture as they were exported, so
            that `short_side`, `flip`, `scales` and the decoding keep their defaults.
        batch_size: Pictures that run at once; fewer of those that are larger than
            at scale 1, and twice as many images with `flip`.
        min_score: Only poses that score more are returned.
        short_side: In pixels; the model's input size where it is None.
        flip: Look at the mirrored picture, too.
        scales: Look at the picture in these multiples of its size, and merge.
        track: Give the people of videos ids that stay, see `Tracker`. New people score
            at least `min_score` and 0.1; poses of people who have been seen before may
            score half of that.
        smooth: With `track`, smooth the poses of each person, see `Smoother`.
        **decoding: `nms_distance`, `max_detections` and `score_threshold` of
            `Detector`; the model's by default.

    Attributes:
        failures: (source, reason) of each unreadable picture, frame or video of the
            last call.

    Raises:
        ValueError: A setting is out of range.

    Example:
        >>> predictor = Predictor(model)  # doctest: +SKIP
        >>> for picture in predictor("photos/"):  # doctest: +SKIP
        ...     picture.draw().save("drawn.png")
        >>> for frame in predictor("clip.mp4", every=5):  # doctest: +SKIP
        ...     print(frame.frame, frame.seconds, len(frame))
    """

    def __init__(
        self,
        model: "PoseModel | ExportedModel | str | Path",
        *,
        batch_size: int = 8,
        min_score: float = 0.01,
        short_side: int | None = None,
        flip: bool = False,
        scales: Iterable[float] = (1.0,),
        track: bool = False,
        smooth: bool = False,
        **decoding: Any,
    ) -> None:
        if smooth and not track:
            raise ValueError("smooth: expected track, too: poses are smoothed by id")
        self.model = read_model(model)
        self.skeleton = self.model.skeleton
        self.batch_size = batch_size
        self.min_score = min_score
        self.short_side = self.model.input_size if short_side is None else short_side
        self.failures: list[tuple[Source, str]] = []
        seen = {"short_side": short_side, "flip": flip, "scales": scales}
        detector = detector_of(self.model, **seen, **decoding)
        self._loop = PoseLoop(detector, self.short_side, batch_size)
        self._follower = Follower(self.skeleton, min_score, smooth) if track else None

    def __repr__(self) -> str:
        return (
            f"Predictor({self.model!r}, batch_size={self.batch_size}, "
            f"min_score={self.min_score}, short_side={self.short_side})"
        )

    def __call__(
        self, sources: Iterable[Source] | Source, **span: Any
    ) -> Iterator[ImagePoses]:
        """Yields the poses of each readable picture and frame, in the order given.

        Args:
            sources: Paths, folders, glob patterns, `[H, W, 3]` uint8 RGB arrays and
                PIL images; videos, cameras (`camera:0`) and streams (`rtsp://...`);
                one or many.
            **span: `every`, `start` and `stop` of `VideoSpan`: the frames of videos
                that are looked at.

        Raises:
            FileNotFoundError: A path does not exist.
            ValueError: An array is no picture, a folder holds none, or, at the end, no
                picture at all could be read.
        """
        VideoSpan(**span)  # a wrong one is told before anything is read
        found: list[Source] = []
        for source in _listed(sources):
            if isinstance(source, str | Path):
                found += find_sources(source)
            else:
                found.append(source)
        return self.predict(found, **span)

    def predict(
        self, sources: Iterable[Source] | Source, **span: Any
    ) -> Iterator[ImagePoses]:
        """As a call, of single files only: no folder or pattern is looked into.

        A file of several pictures, as an animation, a TIFF of several pages or a
        video, gives a result for each.

        Args:
            sources: As of a call, but for folders and patterns.
            **span: As of a call.

        Raises:
            ValueError: An array is no picture, or, at the end, no picture at all could
                be read. One unreadable file among others is a warning and an entry in
                `failures`.
        """
        any_read = False
        for found in self.outcomes(sources, **span):
            if isinstance(found, ImagePoses):
                any_read = True
                yield found
            elif isinstance(found.source, Video):
                logger.warning("%s", found.reason)
        if not any_read:
            self.refuse_nothing_read()

    def refuse_nothing_read(self) -> None:
        """Says that no picture at all could be read, if any was tried.

        Raises:
            ValueError: There are failures.
        """
        if not self.failures:
            return
        source, reason = self.failures[0]
        if len(self.failures) == 1 and isinstance(source, Video):
            raise ValueError(reason)
        raise ValueError(
            f"none of {len(self.failures)} pictures could be read, the first: {reason}"
        )

    def outcomes(
        self, sources: Iterable[Source] | Source, **span: Any
    ) -> Iterator[ImagePoses | Unreadable]:
        """As `predict`, with an entry for every picture that cannot be read, too.

        A video that ends before its end, or that is none, has an entry of its own.

        Args:
            sources: As of `predict`.
            **span: As of a call.

        Raises:
            ValueError: An array is no picture, or the span is none.
        """
        self.failures = []
        pictures = _pictures(_listed(sources), VideoSpan(**span))
        for found in self._loop(pictures):
            if found.people is None:
                if not isinstance(found.key, Video):  # whoever asks for it says it
                    self._warn(found.key, str(found.error))
                self.failures.append((found.key, str(found.error)))
                yield Unreadable(found.key, str(found.error))
                continue
            yield self._people(found, found.people)
            if isinstance(found.key, VideoFrame):
                found.key.release()  # a list of results must not hold a whole video

    def _people(self, found: Found[Source], people: Detections) -> ImagePoses:
        """The people of a picture or frame that score enough, or are followed."""
        poses, scores, keypoint_scores = (rows[0] for rows in people)
        follower = self._follower
        # An empty row scores 0 and stays out whatever the threshold is.
        low = self.min_score if follower is None else follower.low_score
        kept = scores > max(min(low, self.min_score), 0.0)
        poses_found = ImagePoses(
            source=found.key,
            image_hw=found.image_hw,
            poses=poses[kept],
            scores=scores[kept],
            keypoint_scores=keypoint_scores[kept],
            skeleton=self.skeleton,
        )
        return poses_found if follower is None else follower.follow(poses_found)

    def _warn(self, source: Source, reason: str) -> None:
        """Says what cannot be read; of a video's broken frames the first one only."""
        if isinstance(source, VideoFrame):
            if source.video.broken_said:
                return
            source.video.broken_said = True
        logger.warning("skipped: %s", reason)


def _listed(sources: Iterable[Source] | Source) -> Iterable[Source]:
    """One source as several."""
    if isinstance(sources, Source):
        return [sources]
    return sources


def _pictures(
    sources: Iterable[Source], span: VideoSpan
) -> Iterator[tuple[Source, Read]]:
    """What the loop takes; files of several pictures become their frames."""
    for index, source in enumerate(sources):
        if isinstance(source, np.ndarray):
            _check(index, source)
        if isinstance(source, str | Path) and is_video(source):
            source = Video(source, span)
        if isinstance(source, Video):
            yield from _video_frames(source)
            continue
        frames = frames_of(Path(source)) if isinstance(source, str | Path) else []
        if not frames:
            yield source, partial(_pixels, source)
            continue
        # Read here, in their order: each frame of an animation needs the one before.
        reader = frames[0].reader.again()
        for frame in frames:
            yield frame, _read_now(reader, frame.number)


def _video_frames(video: Video) -> Iterator[tuple[Source, Read]]:
    """The frames of a video, and the video itself where it ends early."""
    try:
        for frame in video.frames():
            yield frame, frame.pixels
    except (OSError, ValueError) as error:
        yield video, _raising(error)


def _check(index: int, array: np.ndarray) -> None:
    """Refuses arrays that are no pictures: the caller's mistake, not a broken file."""
    shape = array.shape
    if array.ndim != 3 or shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(
            f"picture {index}: expected a [H, W, 3] uint8 array, got "
            f"{list(shape)} {array.dtype}"
        )
    if not array.size:
        raise ValueError(f"picture {index}: expected pixels, got {shape[0]}x{shape[1]}")


def _read_now(reader: FrameReader, number: int) -> Read:
    """A frame as the loop reads pictures: its fault is raised when it is asked for."""
    try:
        pixels = reader.read(number)
    except (OSError, ValueError) as error:
        return _raising(error)
    return lambda: pixels


def _raising(fault: OSError | ValueError) -> Read:
    def broken() -> np.ndarray:
        raise fault

    return broken


def _pixels(source: Source) -> np.ndarray:
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, Image.Image):
        return np.asarray(source.convert("RGB"))
    if isinstance(source, Frame | VideoFrame):
        return source.pixels()
    assert not isinstance(source, Video)  # its frames are read one by one
    return read_image(source, exif=True)
