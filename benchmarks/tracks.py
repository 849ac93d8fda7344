"""How well tracks hold on to people in drawn videos, and what a frame costs.

    python -m benchmarks.tracks [--peer-python PYTHON] [--model people]

Videos of 2 to 5 people who cross, walk behind posts, and leave (`drawn_video`) are
tracked from their labelled poses, from noisy ones, and from those of a model. Beside
`Tracker` run the same tracker with the IoU of boxes in place of OKS and, in the Python
of `--peer-python`, which needs Roboflow's `trackers`, ByteTrack on boxes. The seeds are
not those that the settings were chosen with (below 200).
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qepose_tf.benchmark.report import Report, processor
from qepose_tf.data.synthetic.video import VideoFrame, drawn_video
from qepose_tf.evaluation.tracking import (
    TrackedFrame,
    TrackingFigures,
    box_iou,
    oks_similarity,
    pose_boxes,
    tracking_figures,
)
from qepose_tf.inference.tracking import tracker as tracker_module
from qepose_tf.inference.tracking.similarity import pose_scales
from qepose_tf.inference.tracking.tracker import Tracker
from qepose_tf.skeleton import COCO

PEER = Path(__file__).parent / "bytetrack.py"
SIGMAS = np.array(COCO.sigmas)
PEOPLE = (2, 3, 4, 5)
FPS = 25.0
# Poses need no large pictures; a model looks at those of the default size.
SMALL = (240, 120)
# Of noisy poses: a keypoint is off by 0.5 * 2 sigma s, which is a mean OKS of 0.8.
NOISE, MISSED, GHOSTS = 0.5, 0.1, 0.1
# Thresholds as ours, ids from the first frame on, two seconds of patience.
LIKE_OURS = dict(
    high_conf_det_threshold=0.4,
    track_activation_threshold=0.4,
    minimum_consecutive_frames=1,
    lost_track_buffer=60,
)


@dataclass(frozen=True)
class Sample:
    """A frame: who is there (`ids`, `keypoints`) and what was found."""

    seconds: float
    ids: np.ndarray
    keypoints: np.ndarray
    poses: np.ndarray
    scores: np.ndarray


Video = list[Sample]


def labelled(keypoints: np.ndarray) -> np.ndarray:
    """Labelled poses; keypoints outside of the picture are unknown."""
    return np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan)


def perfect(frames: Iterable[VideoFrame]) -> Video:
    """The labelled poses as if a model had found them."""
    return [
        Sample(
            frame.seconds,
            frame.ids,
            frame.keypoints,
            labelled(frame.keypoints),
            np.full(len(frame.ids), 0.9),
        )
        for frame in frames
    ]


def noisy(video: Video, seed: int) -> Video:
    """Poses as of a fair model: inexact, missed, and some where nobody is.

    A pose scores 0.3 + 0.6 times the share of visible keypoints, plus noise of 0.08.
    """
    rng, found = np.random.default_rng(seed), []
    for sample in video:
        off = NOISE * 2 * SIGMAS[:, None] * pose_scales(sample.poses)[:, None, None]
        poses = sample.poses + off * rng.normal(size=sample.poses.shape)
        seen = (sample.keypoints[..., 2] == 2).mean(axis=1)
        scores = np.clip(0.3 + 0.6 * seen + rng.normal(0, 0.08, len(seen)), 0, 1)
        kept = rng.random(len(poses)) >= MISSED
        poses, scores = poses[kept], scores[kept]
        if len(poses) and rng.random() < GHOSTS:
            ghost = poses[rng.integers(len(poses))] + rng.normal(0, 80, 2)
            poses = np.concatenate([poses, ghost[None]])
            scores = np.append(scores, rng.uniform(0.1, 0.6))
        found.append(
            Sample(sample.seconds, sample.ids, sample.keypoints, poses, scores)
        )
    return found


def by_model(name: str, videos: list[Iterator[VideoFrame]]) -> list[Video]:
    """The poses of a model, of every second frame."""
    from qepose_tf.inference.predictor import Predictor

    predictor, found = Predictor(name, min_score=0.05), []
    for video in videos:
        frames = list(video)[::2]
        pictures = [np.asarray(frame.picture) for frame in frames]
        found.append(
            [
                Sample(frame.seconds, frame.ids, frame.keypoints, p.poses, p.scores)
                for frame, p in zip(frames, predictor.predict(pictures), strict=True)
            ]
        )
    return found


def figures(videos: list[Video], ids: list[list[np.ndarray]]) -> TrackingFigures:
    """The figures of all videos together, by OKS with the labelled poses."""
    frames = []
    for number, (video, rows) in enumerate(zip(videos, ids, strict=True)):
        for sample, found in zip(video, rows, strict=True):
            areas = pose_scales(labelled(sample.keypoints)) ** 2
            alike = oks_similarity(sample.keypoints, areas, sample.poses, SIGMAS)
            frames.append(TrackedFrame(sample.ids, found, alike, number))
    return tracking_figures(frames)


def ours(videos: list[Video], **changes: float) -> list[list[np.ndarray]]:
    """The ids that `Tracker` gives."""
    found = []
    for video in videos:
        tracker = Tracker(COCO, **changes)
        found.append([tracker.update(s.poses, s.scores, s.seconds) for s in video])
    return found


@contextmanager
def boxes_in_place_of_oks() -> Iterator[None]:
    """Lets `Tracker` compare poses by the IoU of their boxes."""

    def iou(first: np.ndarray, second: np.ndarray, *_: object) -> np.ndarray:
        usable = np.isfinite(second).any(axis=(1, 2))
        alike = np.zeros((len(first), len(second)))
        alike[:, usable] = box_iou(pose_boxes(first), pose_boxes(second[usable]))
        return alike

    before = tracker_module.pairwise_oks
    tracker_module.pairwise_oks = iou
    try:
        yield
    finally:
        tracker_module.pairwise_oks = before


def bytetrack(
    python: str, videos: list[Video], settings: dict
) -> tuple[list[list[np.ndarray]], dict]:
    """The ids that Roboflow's ByteTrack gives to the poses' boxes; version and time."""
    content = {
        "settings": settings,
        "videos": [
            [
                {
                    "seconds": sample.seconds,
                    "boxes": pose_boxes(sample.poses).tolist(),
                    "scores": sample.scores.tolist(),
                }
                for sample in video
            ]
            for video in videos
        ],
    }
    # Its own packages alone: this Python's may be of other versions.
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(PEER)],
        input=json.dumps(content),
        capture_output=True,
        text=True,
        check=False,
        env=clean,
    )
    if done.returncode:
        reason = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ValueError(f"{python} {PEER.name}: {reason}")
    answer = json.loads(done.stdout)
    ids = [[np.array(row, int) for row in video] for video in answer.pop("ids")]
    return ids, answer


def crowd(people: int = 20, frames: int = 250) -> list[Video]:
    """So many people who walk at random for ten seconds, to time a frame."""
    rng = np.random.default_rng(0)
    first = next(iter(drawn_video(1, 0, seconds=1 / FPS, posts=0)))
    start = first.keypoints[0, :, :2] + rng.uniform(0, 1500, (people, 1, 2))
    speed, ids = rng.normal(0, 50, (people, 1, 2)), np.arange(people)
    video = []
    for number in range(frames):
        poses = start + speed * number / FPS + rng.normal(0, 1, start.shape)
        keypoints = np.concatenate([poses, np.full((people, 17, 1), 2)], axis=-1)
        scores = np.full(people, 0.9)
        video.append(Sample(number / FPS, ids, keypoints, poses, scores))
    return [video]


def milliseconds(video: Video) -> float:
    """The median time that `Tracker` takes for a frame."""
    tracker, taken = Tracker(COCO), []
    for sample in video:
        started = time.perf_counter()
        tracker.update(sample.poses, sample.scores, sample.seconds)
        taken.append(1e3 * (time.perf_counter() - started))
    return float(np.median(taken))


def row(what: str, who: str, found: TrackingFigures) -> dict:
    """A row of the table."""
    return {
        "poses": what,
        "tracker": who,
        "IDF1": f"{found.idf1:.3f}",
        "HOTA": f"{found.hota:.3f}",
        "AssA": f"{found.ass_a:.3f}",
        "switches": found.id_switches,
        "misses": found.misses,
        "false": found.false_positives,
        "people x frames": found.people,
    }


def compare(report: Report, what: str, videos: list[Video], python: str | None) -> None:
    """Adds the rows of all trackers for the same poses."""
    trackers: dict[str, Callable[[], list[list[np.ndarray]]]] = {
        "ours": lambda: ours(videos)
    }
    if python:
        for name, settings in {"as it is": {}, "thresholds as ours": LIKE_OURS}.items():
            trackers[f"ByteTrack, {name}"] = lambda settings=settings: bytetrack(
                python, videos, settings
            )[0]
    for who, ids in trackers.items():
        found = figures(videos, ids())
        report.add(**row(what, who, found))
        print(what, who, found, file=sys.stderr, flush=True)
        if what == "perfect, 25 frames/s" and who == "ours":
            report.aim("IDF1 of perfect poses", found.idf1, 0.97, "higher")
    with boxes_in_place_of_oks():
        found = figures(videos, ours(videos))
    report.add(**row(what, "ours, IoU of boxes", found))


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", type=int, default=3, help="for 2, 3, 4, 5 people")
    parser.add_argument("--seed", type=int, default=200, help="of the first video")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a video")
    parser.add_argument("--peer-python", help="a Python with Roboflow's trackers")
    parser.add_argument(
        "--model", help="a preset or a model's file, of every 2nd frame"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.videos)
    length, python = options.seconds, options.peer_python
    try:
        report = Report()
        for odds, name, steps in ((0.0, "", (1, 5)), (0.6, ", coming back", (1,))):
            drawn = dict(seconds=length, come_back=odds, size=SMALL)
            videos = [
                perfect(drawn_video(n, seed, **drawn)) for n in PEOPLE for seed in seeds
            ]
            dirty = [noisy(video, seed) for seed, video in enumerate(videos)]
            for what, some in (("perfect", videos), ("noisy", dirty)):
                for step in steps:
                    rate = f"{what}{name}, {FPS / step:g} frames/s"
                    compare(report, rate, [v[::step] for v in some], python)
        if options.model:
            shown = [drawn_video(n, options.seed, seconds=length) for n in PEOPLE]
            compare(report, options.model, by_model(options.model, shown), python)
        many = crowd()
        report.aim("20 people, ms for a frame", milliseconds(many[0]), 5.0)
        if python:
            _, facts = bytetrack(python, many, {})
            report.facts = facts
            print("20 people, ByteTrack:", facts)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    report.facts |= {
        "machine": processor(),
        "scipy": importlib.metadata.version("scipy"),
    }
    print(report.markdown())
    if options.json:
        report.write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
