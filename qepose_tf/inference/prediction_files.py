"""Predictions as files: drawn pictures and videos, and one JSON of what was found."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from qepose_tf.files.interrupts import raise_if_interrupted
from qepose_tf.files.whole_files import writable_folder, write_file
from qepose_tf.images.drawing import draw_poses
from qepose_tf.images.drawn_files import SUFFIX, drawing_bytes, is_drawing
from qepose_tf.images.frames import Frame
from qepose_tf.images.video import Video, VideoFrame
from qepose_tf.images.video_sources import file_stem, is_drawn_video
from qepose_tf.inference.people import ImagePoses, Source, Unreadable
from qepose_tf.inference.video_files import VideoFiles
from qepose_tf.skeleton import Skeleton

logger = logging.getLogger(__name__)

_CATEGORY_ID = 1
# What a video counts beside its frames, where it is not 0.
_COUNTS = ("broken", "damaged", "dropped", "lost")


def write_predictions(
    results: Iterable[ImagePoses | Unreadable],
    out_dir: str | Path,
    skeleton: Skeleton,
    json_path: str | Path | None = None,
    *,
    min_score: float = 0.2,
    table: bool = False,
    show: Callable[[np.ndarray], None] | None = None,
) -> list[Path]:
    """Writes each picture with its poses drawn, one at a time, and the JSON last.

    `a/photo.png` becomes `photo_poses.jpg`, a second photo of that name
    `photo_2_poses.jpg`, and the third frame of `a/clip.gif` `clip_frame3_poses.jpg`.
    The video `a/clip.mov` becomes `clip.mp4`, with `clip.jsonl`, see `VideoFiles`.
    Where Ctrl-C ends the work, the files of the video hold what was done.

    Every picture has at least one entry in the JSON, with an `image_id` that counts
    from 1, the `file_name` and, of a file of several pictures, the `frame`, from 1.
    Each person is an entry with a COCO keypoint result's other fields. An entry
    without `keypoints` is a picture in which nobody was found (`"people": 0`), or one
    that could not be read (`"error"`). A video has one entry with the number of its
    `frames`, of the `people` in all of them, and the paths of its files.

    Args:
        results: Of `Predictor.outcomes`; consumed lazily, so pictures appear early.
        out_dir: Made if it does not exist.
        skeleton: Of the model.
        json_path: No JSON is written where it is None.
        min_score: People that score less are in the JSON, but not drawn.
        table: Whether the poses of each video are written as a CSV, too.
        show: Called with each frame of a video that was drawn.

    Returns:
        The paths of the drawn pictures and videos, in order.

    Raises:
        OSError: A folder or a file cannot be written; that is checked before the first
            picture is predicted.
    """
    out_dir = writable_folder(out_dir)
    if json_path is not None:
        json_path = Path(json_path)
        writable_folder(json_path.parent)
        if json_path.is_dir():
            raise IsADirectoryError(f"{json_path}: expected a file name, got a folder")
    written = _Written(out_dir, skeleton, min_score, table, show)
    try:
        for result in results:
            written.add(result)
            raise_if_interrupted()  # a library may have swallowed Ctrl-C
        written.end_video()
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            raise_if_interrupted()  # forgotten, or else nothing would be written
        written.end_video(interrupted=True)
        if written.drawings and json_path is not None:
            write_file(json_path, json.dumps(written.entries))
        raise
    except BaseException:
        written.abandon_video()
        raise
    if json_path is not None:
        write_file(json_path, json.dumps(written.entries))
    return written.drawings


class _Written:
    """What was written so far: drawings, entries of the JSON, and an open video."""

    def __init__(
        self,
        out_dir: Path,
        skeleton: Skeleton,
        min_score: float,
        table: bool,
        show: Callable[[np.ndarray], None] | None,
    ) -> None:
        self._out_dir, self._skeleton = out_dir, skeleton
        self._min_score, self._table, self._show = min_score, table, show
        self._used: set[str] = set()
        self._video: VideoFiles | None = None
        self._count = 0  # of pictures and videos
        self.drawings: list[Path] = []
        self.entries: list[dict[str, Any]] = []

    def add(self, result: ImagePoses | Unreadable) -> None:
        source = result.source
        if isinstance(source, VideoFrame):
            self._add_frame(result, source.video)
        elif isinstance(source, Video) and isinstance(result, Unreadable):
            # It ends early, or was never opened.
            self._open(source)
            self.end_video(error=result.reason)
        else:
            self.end_video()
            self._add_picture(result)

    def _add_frame(self, result: ImagePoses | Unreadable, video: Video) -> None:
        files = self._open(video)
        files.add(result)
        if self._show is not None and files.drawn is not None:
            self._show(files.drawn)

    def _open(self, video: Video) -> VideoFiles:
        """The files of a video, begun where its first frame comes."""
        if self._video is None or self._video.video is not video:
            self.end_video()
            stem = _free_video(self._out_dir, file_stem(video.source), self._used)
            self._video = VideoFiles(
                video, stem, self._skeleton, self._min_score, self._table
            )
        return self._video

    def end_video(self, interrupted: bool = False, error: str | None = None) -> None:
        """Finishes the files of the open video, if there is one."""
        files = self._video
        if files is None:
            return
        complete = files.close(whole_sound=not interrupted)
        self._video = None
        self._count += 1
        entry = {"image_id": self._count, "file_name": str(files.video)}
        if complete:
            self.drawings.append(files.path(".mp4"))
            entry |= {"frames": files.frames, "people": files.people}
            entry |= {kind: str(path) for kind, path in files.paths().items()}
            if interrupted:
                place, count = files.path(".mp4"), files.frames
                logger.info("%s holds the %d frames that were done", place, count)
        counts = {kind: getattr(files.video, kind) for kind in _COUNTS}
        counts = {kind: count for kind, count in counts.items() if count}
        if counts:
            told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            logger.warning("%s: %s of its frames", files.video, told)
        entry |= counts
        self.entries.append(entry | ({} if error is None else {"error": error}))

    def abandon_video(self) -> None:
        """Removes the files of the open video."""
        if self._video is not None:
            self._video.abandon()

    def _add_picture(self, result: ImagePoses | Unreadable) -> None:
        self._count += 1
        name = _name(result.source, self._count)
        if isinstance(result, Unreadable):
            entry = {"image_id": self._count, **name, "error": result.reason}
            self.entries.append(entry)
            return
        drawn = draw_poses(
            result.pixels(),
            result.poses,
            result.scores,
            self._skeleton,
            min_score=self._min_score,
        )
        path = _free_path(self._out_dir, _stem(name), self._used)
        write_file(path, drawing_bytes(drawn))
        self.drawings.append(path)
        people = result.to_coco(self._count, _CATEGORY_ID)
        nobody = [{"image_id": self._count, "people": 0}]
        self.entries += [{**entry, **name} for entry in people or nobody]


def _name(source: Source, image_id: int) -> dict[str, Any]:
    """The fields that say which picture it is."""
    if isinstance(source, Frame):
        return {"file_name": str(source.path), "frame": source.number}
    named = isinstance(source, str | Path)
    return {"file_name": str(source) if named else f"picture_{image_id}"}


def _stem(name: dict[str, Any]) -> str:
    frame = f"_frame{name['frame']}" if "frame" in name else ""
    return f"{Path(name['file_name']).stem}{frame}"


def _free_path(folder: Path, stem: str, used: set[str]) -> Path:
    """Where no picture of this run is, nor one that somebody else has put there."""
    path, count = folder / f"{stem}{SUFFIX}", 1
    # Some file systems do not tell a.jpg from A.jpg.
    while path.name.lower() in used or (path.exists() and not is_drawing(path)):
        count += 1
        path = folder / f"{stem}_{count}{SUFFIX}"
    used.add(path.name.lower())
    return path


def _free_video(folder: Path, stem: str, used: set[str]) -> Path:
    """As `_free_path`, of the files of a video, without their suffix."""
    name, count = stem, 1
    while f"{name}.mp4".lower() in used or not _is_ours(folder / name):
        count += 1
        name = f"{stem}_{count}"
    used.add(f"{name}.mp4".lower())
    return folder / name


def _is_ours(stem: Path) -> bool:
    """Whether these names are free, or of an earlier run's files."""
    video = stem.with_name(f"{stem.name}.mp4")
    others = (stem.with_name(stem.name + suffix) for suffix in (".jsonl", ".csv"))
    if video.exists():
        return is_drawn_video(video)
    return not any(other.exists() for other in others)
