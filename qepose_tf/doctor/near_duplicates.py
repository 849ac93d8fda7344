"""Pictures of the validation set that training sees, too, or nearly."""

from collections.abc import Sequence

import cv2
import numpy as np

from qepose_tf.doctor.finding import Finding
from qepose_tf.doctor.pictures import THUMBNAIL, Seen

_LOW = 8  # frequencies in each direction, as perceptual hashes have them
_MOST_BITS = 12  # of 64 that may differ before thumbnails are compared
_LIKENESS = 0.965  # correlation of the thumbnails; scaled and recompressed have 0.99
_FLAT = 4.0  # grey levels: what varies less shows nothing to compare
_AT_ONCE = 4096  # rows of a table of distances


def near_duplicates(
    train: Sequence[Seen], val: Sequence[Seen], names: Sequence[str]
) -> list[Finding]:
    """Pairs of pictures that show nearly the same.

    Perceptual hashes, the signs of the low frequencies of a cosine transform, find
    candidates also where one is mirrored; the correlation of thumbnails decides.

    Args:
        train: Pictures of the training set.
        val: Pictures of the validation set.
        names: Of the validation set's pictures.

    Returns:
        For each picture of the validation set its most similar one, if that is
        similar enough; `twin` is the row in the validation set.
    """
    rows, thumbnails = _comparable(train)
    val_rows, val_thumbnails = _comparable(val)
    if not len(rows) or not len(val_rows):
        return []
    best = np.zeros(len(val_rows))
    found = np.zeros(len(val_rows), np.int64)
    for seen in (val_thumbnails, val_thumbnails[:, :, ::-1]):
        likeness, nearest = _most_alike(thumbnails, seen)
        found = np.where(likeness > best, nearest, found)
        best = np.maximum(likeness, best)
    return [
        Finding(
            *("near_duplicate", int(rows[found[i]])),
            f"nearly the same as {names[val_rows[i]]} of the validation set",
            float(best[i]),
            twin=int(val_rows[i]),
        )
        for i in np.flatnonzero(best >= _LIKENESS)
    ]


def _comparable(seen: Sequence[Seen]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the pictures that show something, and their thumbnails."""
    shown = {
        row: picture.thumbnail
        for row, picture in enumerate(seen)
        if picture.thumbnail is not None and picture.thumbnail.std() >= _FLAT
    }
    thumbnails = np.array(list(shown.values()), np.float32)
    return np.array(list(shown), np.int64), thumbnails.reshape(-1, THUMBNAIL, THUMBNAIL)


def _most_alike(train: np.ndarray, val: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per picture of `val` the highest correlation with one of `train`, and which."""
    signs, val_signs = _signs(train), _signs(val)
    flat, val_flat = _standardised(train), _standardised(val)
    best, nearest = np.zeros(len(val)), np.zeros(len(val), np.int64)
    for start in range(0, len(train), _AT_ONCE):
        agreeing = val_signs @ signs[start : start + _AT_ONCE].T
        one, other = np.nonzero(agreeing >= _LOW**2 - 2 * _MOST_BITS)
        alike = np.einsum("np,np->n", val_flat[one], flat[start + other])
        order = np.argsort(alike, kind="stable")  # the last of equal rows stays
        top, which = np.zeros(len(val)), np.zeros(len(val), np.int64)
        top[one[order]], which[one[order]] = alike[order], start + other[order]
        nearest = np.where(top > best, which, nearest)
        best = np.maximum(top, best)
    return best, nearest


def _signs(thumbnails: np.ndarray) -> np.ndarray:
    """`[N, 64]` float32 of 1 and -1: the perceptual hashes."""
    transformed = np.stack([cv2.dct(np.ascontiguousarray(t)) for t in thumbnails])
    low = transformed[:, :_LOW, :_LOW].reshape(len(thumbnails), -1)
    middle = np.median(low[:, 1:], axis=1, keepdims=True)
    return np.where(low > middle, 1, -1).astype(np.float32)


def _standardised(thumbnails: np.ndarray) -> np.ndarray:
    """`[N, P]` of mean 0 and length 1: their products are correlations."""
    flat = thumbnails.reshape(len(thumbnails), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)
