"""Pictures that are in both training and validation, or nearly."""

import io

import numpy as np
from PIL import Image, ImageEnhance

from qepose_tf.doctor.near_duplicates import near_duplicates
from qepose_tf.doctor.pictures import Seen
from qepose_tf.images.decoding import read_picture
from tests.doctor.planting import ACCUSED, FOUND


def seen(picture):
    grey = picture.convert("L").resize((32, 32), Image.Resampling.BOX)
    return Seen(np.asarray(grey, np.float32))


def recompressed(picture):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=40)
    return Image.open(stream)


CHANGES = {
    "recompressed": recompressed,
    "smaller": lambda picture: picture.resize((61, 61)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "border cut": lambda picture: picture.crop((1, 1, 95, 95)),
}


def test_planted_duplicates_are_found(scenes):
    pictures = [read_picture(r.file, exif=False) for r in scenes.records]
    train, others = pictures[:200], pictures[200:]
    rng = np.random.default_rng(0)
    changes = list(CHANGES.values())
    twins = rng.choice(200, 50, replace=False)
    planted = [changes[i % len(changes)](train[row]) for i, row in enumerate(twins)]
    val = [*planted, *others]
    names = [f"{i}.jpg" for i in range(len(val))]
    findings = near_duplicates(list(map(seen, train)), list(map(seen, val)), names)
    pairs = {(finding.picture, finding.twin) for finding in findings}
    right = pairs & {(int(row), i) for i, row in enumerate(twins)}
    assert len(right) >= FOUND * len(planted)
    assert len(pairs - right) <= ACCUSED * len(others)
    first = min(findings, key=lambda finding: finding.twin)
    assert first.why == f"nearly the same as {first.twin}.jpg of the validation set"


def test_empty_and_flat_pictures_have_no_duplicates():
    flat = Seen(np.full((32, 32), 7, np.float32))
    broken = Seen(None, "broken")
    assert near_duplicates([flat, broken], [flat, broken], ["a", "b"]) == []
    assert near_duplicates([], [], []) == []
