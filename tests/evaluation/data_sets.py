"""Labels as data sets, without a file or a picture."""

import json

from qepose_tf.data.coco.dataset import CocoDataset, read_coco
from qepose_tf.skeleton import Skeleton


def data_set(labels: dict, skeleton: Skeleton, **options) -> CocoDataset:
    """A COCO file's content, read as if it stood in `labels.json`."""
    options = {"require_images": False} | options
    content = json.dumps(labels).encode()
    return read_coco("labels.json", ".", skeleton, content=content, **options)


def plain_skeleton(sigmas) -> Skeleton:
    """Keypoints `k0`, `k1`, ... of these sigmas."""
    names = tuple(f"k{i}" for i in range(len(sigmas)))
    return Skeleton("plain", names, flip_pairs=(), limbs=(), sigmas=tuple(sigmas))
