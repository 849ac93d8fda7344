"""One look at every picture: whether it can be read, and what it shows in small."""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from qepose_tf.data.coco.dataset import ImageRecord
from qepose_tf.data.coco.pictures import decode_record_image, is_turned
from qepose_tf.images.decoding import read_content
from qepose_tf.images.opening import opened
from qepose_tf.images.orientation import QUARTER_TURNS, orientation_of, turned

THUMBNAIL = 32  # px
_DRAFT = 128  # px; JPEGs are decoded at the smallest size above it
_WORKERS = 4  # reading waits for disks, decoding leaves Python's lock


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What one look at a picture showed.

    Attributes:
        thumbnail: `[32, 32]` float32, its greys; None where training skips it.
        trouble: Why training skips it; empty where it does not.
    """

    thumbnail: np.ndarray | None
    trouble: str = ""


def look_at(
    records: Sequence[ImageRecord], progress: Callable[[int, int], None] | None = None
) -> list[Seen]:
    """Looks at all pictures of a data set, several at once.

    Args:
        records: Of the pictures.
        progress: Told how many are done, and of how many.
    """
    seen = []
    with ThreadPoolExecutor(_WORKERS) as pool:
        for picture in pool.map(_look, records):
            seen.append(picture)
            if progress is not None:
                progress(len(seen), len(records))
    return seen


def _look(record: ImageRecord) -> Seen:
    try:
        content = read_content(record.file)
        picture = _reduced(record, content)
        if picture is None:
            picture = Image.fromarray(decode_record_image(record, content))
    except (OSError, ValueError) as error:
        return Seen(None, " ".join(str(error).split()))
    grey = picture.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return Seen(np.asarray(grey, np.float32))


def _reduced(record: ImageRecord, content: bytes) -> Image.Image | None:
    """A JPEG at an eighth of its size or more; None where training's own way is due.

    That is so for other formats, and for whatever is wrong: the message is then the
    one of training.
    """
    try:
        with opened(content, str(record.file)) as image:
            if image.format != "JPEG":
                return None
            orientation = orientation_of(image)
            stored, annotated = image.size[::-1], (record.height, record.width)
            turn = is_turned(record.exif, orientation, stored, annotated)
            quarter = turn and orientation in QUARTER_TURNS
            if (stored[::-1] if quarter else stored) != annotated:
                return None
            image.draft("RGB", (_DRAFT, _DRAFT))
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError):
        return None
    return Image.fromarray(turned(pixels, orientation) if turn else pixels)
