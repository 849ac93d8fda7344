"""The pictures of findings: cut out, drawn on, and small."""

import base64
import io

import numpy as np
from PIL import Image, ImageDraw

from qepose_tf.data.coco.pictures import read_record_image
from qepose_tf.doctor.examine import Examined
from qepose_tf.doctor.finding import Finding
from qepose_tf.images.drawing import draw_poses
from qepose_tf.skeleton import COCO, Skeleton

_WIDTH, _HEIGHT = 340, 300  # px of a picture on the page
_QUALITY = 70
_AROUND = 0.35  # of what is shown, on each side
_LEAST = 48.0  # px of a picture that are shown at least
_MARK = (232, 30, 120)


def picture_of(found: Examined, finding: Finding, skeleton: Skeleton) -> str:
    """A `data:` URL of what a finding is about.

    Args:
        found: The data set of the finding.
        finding: What to show.
        skeleton: Of the data set.

    Raises:
        OSError: The picture cannot be read again.
        ValueError: The picture is broken.
    """
    record = found.source.records[finding.picture]
    picture = Image.fromarray(read_record_image(record))
    rows = list(finding.people)
    poses = found.people.keypoints[rows, :, :2]
    visible = found.people.labelled[rows]
    if finding.pose is not None:
        poses, visible = finding.pose[None], np.ones((1, len(finding.pose)), bool)
        skeleton = skeleton if len(finding.pose) == skeleton.num_keypoints else COCO
    boxes = found.people.boxes[rows] if finding.kind == "outside_box" else ()
    points = [poses[visible].reshape(-1, 2)]
    points += [box[None, :2] + [[0, 0], box[2:]] for box in boxes]
    picture, scale, corner = _cut(picture, np.concatenate(points))
    moved = (poses - corner) * scale
    if len(rows) or finding.pose is not None:
        drawn = draw_poses(
            np.asarray(picture),
            moved,
            np.ones(len(moved)),
            skeleton,
            keypoint_visible=visible,
        )
        picture = Image.fromarray(drawn)
    paint = ImageDraw.Draw(picture)
    for box in boxes:
        x, y = (box[:2] - corner) * scale
        width, height = box[2:] * scale
        paint.rectangle((x, y, x + width, y + height), outline=_MARK, width=2)
    # A ring for each keypoint would hide a pose of which all are meant.
    if finding.kind in ("outside_box", "impossible_limb"):
        for x, y in moved[0, list(finding.keypoints)]:
            paint.ellipse((x - 9, y - 9, x + 9, y + 9), outline=_MARK, width=3)
    return data_url(picture)


def whole_picture(found: Examined, row: int) -> str:
    """A `data:` URL of a whole picture."""
    picture = Image.fromarray(read_record_image(found.source.records[row]))
    return data_url(_cut(picture, np.zeros((0, 2)))[0])


def data_url(picture: Image.Image) -> str:
    """A picture as a JPEG inside of a page."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _cut(
    picture: Image.Image, points: np.ndarray
) -> tuple[Image.Image, float, np.ndarray]:
    """The part around points at the page's size, its scale, and its corner (x, y)."""
    low, high = np.zeros(2), np.array(picture.size, np.float64)
    if len(points):
        around = max(_AROUND * float(np.ptp(points, axis=0).max()), _LEAST / 2)
        inside = np.clip(points, 0, high)
        low = np.maximum(np.floor(inside.min(axis=0) - around), 0)
        high = np.minimum(np.ceil(inside.max(axis=0) + around), high)
    size = np.maximum(high - low, 1)
    scale = float(min(_WIDTH / size[0], _HEIGHT / size[1]))
    part = picture.crop((*low.astype(int), *(low + size).astype(int)))
    shown = np.maximum(np.rint(size * scale), 1).astype(int)
    return part.resize(tuple(shown.tolist()), Image.Resampling.BILINEAR), scale, low
