"""What is written of a video: a drawn MP4, a line of JSON for each frame, a CSV."""

import contextlib
import json
from collections.abc import Generator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from qepose_tf.files.whole_files import whole
from qepose_tf.images.background import BackgroundWorker
from qepose_tf.images.drawing import draw_poses
from qepose_tf.images.video import Video, VideoFrame
from qepose_tf.images.video_writing import VideoWriter
from qepose_tf.inference.people import ImagePoses, Unreadable
from qepose_tf.inference.video_tables import write_wide_table
from qepose_tf.skeleton import Skeleton

_BEHIND = 4  # frames that wait to be drawn and encoded


class VideoFiles:
    """The files of one video, written beside the network as its frames come.

    They get their names when they are complete: `STEM.mp4` with the people drawn and
    the video's sound, `STEM.jsonl`, and `STEM.csv` if it is asked for. Where nothing
    could be read, none is written.

    Args:
        video: The video that is looked at.
        stem: The folder and name of the files, without a suffix.
        skeleton: The model's skeleton.
        min_score: People who score less are in the JSON, but not drawn, unless they are
            followed.
        table: Whether the CSV is written.

    Attributes:
        frames: The number of frames that were written.
        people: The number of people in all of them.
        drawn: The newest frame with its people.
    """

    def __init__(
        self,
        video: Video,
        stem: Path,
        skeleton: Skeleton,
        min_score: float,
        table: bool = False,
    ) -> None:
        self.video, self.stem = video, stem
        self.frames = self.people = 0
        self._skeleton, self._min_score, self._table = skeleton, min_score, table
        self.drawn: np.ndarray | None = None
        self._files = ExitStack()
        self._drawing = self._named(".mp4")
        self._lines_path = self._named(".jsonl")
        self._lines: TextIO = self._files.enter_context(
            self._lines_path.open("w", encoding="utf-8")
        )
        self._writer: VideoWriter | None = None
        self._whole_sound = True
        self._worker = BackgroundWorker(self._write, _BEHIND, self._finish)

    def path(self, suffix: str) -> Path:
        """Returns the path of the file with this suffix."""
        return self.stem.with_name(self.stem.name + suffix)

    def paths(self) -> dict[str, Path]:
        """Returns the files that were written, by what they hold."""
        named = {"video": self.path(".mp4"), "poses": self.path(".jsonl")}
        return named | ({"table": self.path(".csv")} if self._table else {})

    def add(self, found: ImagePoses | Unreadable) -> None:
        """Hands a frame over to be drawn and written.

        Raises:
            OSError: An earlier frame could not be written.
        """
        pixels = found.pixels() if isinstance(found, ImagePoses) else None
        self._worker.add((found, pixels))

    def close(self, whole_sound: bool = True) -> bool:
        """Writes what still waits and gives the files their names.

        Args:
            whole_sound: Whether the sound behind the last frame belongs to the video.

        Returns:
            Whether there are files: a frame at least could be read.

        Raises:
            KeyboardInterrupt: Ctrl-C came meanwhile; the files are complete.
            OSError: A file could not be written; then none is there.
        """
        self._whole_sound = whole_sound and self.video.span.stop is None
        try:
            self._worker.close()
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.abandon()
            raise
        if self._writer is None:
            self.abandon()
        return self._writer is not None

    def abandon(self) -> None:
        """Removes what was written, unless the files have their names."""
        self._worker.abandon()
        if self._writer is not None:
            with contextlib.suppress(Exception):  # it is removed in any case
                self._writer.close()
        gone = RuntimeError("abandoned")
        self._files.__exit__(RuntimeError, gone, None)

    def _named(self, suffix: str) -> Path:
        """A place to write to, that gets its name at the end, Ctrl-C or not."""
        return self._files.enter_context(
            whole(self.path(suffix), even_interrupted=True)
        )

    @contextlib.contextmanager
    def _named_faults(self) -> Generator[None]:
        """Says which file the system cannot write."""
        try:
            yield
        except OSError as error:
            if error.errno is None:
                raise  # it is told already
            reason = error.strerror or error
            file = self.path(".mp4")
            raise OSError(f"{file}: cannot be written, {reason}") from error

    def _finish(self) -> None:
        """Gives the files their names; on the worker's thread, that Ctrl-C spares."""
        if self._writer is None:
            return
        with self._named_faults():
            self._writer.close(self._whole_sound)
            self._lines.close()
        if self._table:
            write_wide_table(self._lines_path, self._named(".csv"), self._skeleton)
        self._files.close()

    def _write(self, item: tuple[ImagePoses | Unreadable, np.ndarray | None]) -> None:
        """Draws, encodes and writes one frame; on the worker's thread."""
        found, pixels = item
        frame = found.source
        assert isinstance(frame, VideoFrame)
        line: dict[str, Any] = {
            "frame": frame.number,
            "seconds": round(frame.seconds, 6),
        }
        if isinstance(found, Unreadable) or pixels is None:
            line["error"] = getattr(found, "reason", "")
        else:
            line["people"] = people_of(found)
            self.frames += 1
            self.people += len(found)
        with self._named_faults():
            if pixels is not None and isinstance(found, ImagePoses):
                self._draw(found, frame, pixels)
            self._lines.write(json.dumps(line) + "\n")

    def _draw(self, found: ImagePoses, frame: VideoFrame, pixels: np.ndarray) -> None:
        self.drawn = draw_poses(
            pixels,
            found.poses,
            found.scores,
            self._skeleton,
            # Who is followed is a person, however low the score is here.
            min_score=self._min_score if found.ids is None else 0.0,
            ids=found.ids,
        )
        if self._writer is None:
            # A stream is not opened twice, so that its sound is not there.
            sound = None if self.video.live else self.video.source
            start = frame.time if self.video.span.start or self.video.live else None
            self._writer = VideoWriter(self._drawing, start or Fraction(0), sound)
        shown = frame.time, frame.duration, frame.tick, frame.aspect
        self._writer.add(self.drawn, *shown)


def people_of(found: ImagePoses) -> list[dict[str, Any]]:
    """Returns the people of a frame as its line holds them.

    Coordinates are rounded to 2 decimals, scores to 4.

    Example:
        >>> from qepose_tf.skeleton import Skeleton
        >>> nose = Skeleton("nose", ("nose",), (), (), (0.05,))
        >>> pose, score = np.array([[[4.0, 6.0]]]), np.array([0.5])
        >>> found = ImagePoses("a.png", (9, 9), pose, score, score[None], nose)
        >>> people_of(found)[0]["keypoints"]
        [[4.0, 6.0, 0.5]]
    """
    scores = found.keypoint_scores.astype(np.float64).round(4)[..., None]
    points = np.concatenate([found.poses.astype(np.float64).round(2), scores], axis=-1)
    ids = [None] * len(found) if found.ids is None else found.ids.tolist()
    return [
        {"id": number, "score": score, "box": box, "keypoints": keypoints}
        for number, score, box, keypoints in zip(
            ids,
            found.scores.astype(np.float64).round(4).tolist(),
            found.boxes.astype(np.float64).round(2).tolist(),
            points.tolist(),
            strict=True,
        )
    ]
