"""The people of a video with ids that stay, as `Predictor` gives them."""

from dataclasses import replace

import numpy as np

from qepose_tf.images.video import Video, VideoFrame
from qepose_tf.inference.people import ImagePoses
from qepose_tf.inference.tracking.smoothing import Smoother
from qepose_tf.inference.tracking.tracker import Tracker
from qepose_tf.skeleton import Skeleton

# Below this score, a pose says too little to start a track.
_LEAST_START = 0.1


class Follower:
    """Follows people through the frames of one video after another.

    Args:
        skeleton: What the keypoints are.
        min_score: Poses from this score on, and from 0.1, are new people.
        smooth: Whether the poses are smoothed, see `Smoother`.

    Attributes:
        low_score: Poses from this score on are people who have been seen before: who
            is half covered scores low.
    """

    def __init__(
        self, skeleton: Skeleton, min_score: float, smooth: bool = False
    ) -> None:
        high_score = max(min_score, _LEAST_START)
        self.low_score = min(high_score / 2, _LEAST_START)
        self._min_score = min_score
        self._tracker = Tracker(
            skeleton, high_score=high_score, low_score=self.low_score
        )
        self._smoother = Smoother() if smooth else None
        self._video: Video | None = None
        self._seconds = 0.0

    def follow(self, found: ImagePoses) -> ImagePoses:
        """Returns the people of a frame with their ids.

        Poses that are nobody's, as those that repeat a person, are left out. Frames of
        a video are expected in their order; another video begins with new ids. Pictures
        have no ids, and their people score more than `min_score`.

        Args:
            found: The poses that score at least `low_score`, or more of them.
        """
        frame = found.source
        if not isinstance(frame, VideoFrame):
            return found[found.scores > self._min_score]
        if frame.video is not self._video:
            self._video, self._seconds = frame.video, frame.seconds
            self._tracker.reset()
            if self._smoother is not None:
                self._smoother.reset()
        # The clock of a damaged file or of a stream that was lost may go back.
        self._seconds = max(self._seconds, frame.seconds)
        ids = self._tracker.update(found.poses, found.scores, self._seconds)
        poses = found.poses
        if self._smoother is not None:
            poses = self._smoother.update(poses, ids, self._seconds)
        followed = replace(found, poses=poses.astype(np.float32), ids=ids)
        return followed[ids > 0]
