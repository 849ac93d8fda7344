"""Which reader reads a source: by its content first, then by its name."""

from pathlib import Path
from typing import Any

from qepose_tf.conversion.labels import LabelSet
from qepose_tf.conversion.places import read_json
from qepose_tf.conversion.sources.coco import is_coco, read_coco_file
from qepose_tf.conversion.sources.deeplabcut import (
    deeplabcut_tables,
    read_deeplabcut,
)
from qepose_tf.conversion.sources.label_studio import (
    is_label_studio,
    read_label_studio,
)
from qepose_tf.conversion.sources.labelme import is_labelme, read_labelme
from qepose_tf.conversion.sources.sleap import read_sleap
from qepose_tf.conversion.sources.yolo import read_yolo, yolo_yaml
from qepose_tf.images.finding import IMAGE_SUFFIXES
from qepose_tf.images.video_sources import VIDEO_SUFFIXES

FORMS = (
    "SLEAP (.slp), DeepLabCut (project, .csv), YOLO pose (.yaml), Label Studio "
    "(.json), labelme (.json or a folder), COCO (.json), or what else sleap-io reads"
)
_BY_SLEAP_IO = {".slp", ".nwb", ".mat", ".h5", ".hdf5", ".json"}
# A key that only one tool writes -> the tool, and the way from it to here.
_VIA = ("VIA", "whose points have no common form; label them in labelme")
_OTHER_JSON = {
    "_via_img_metadata": _VIA,
    "_via_settings": _VIA,
    "items": ("Datumaro", "`datum convert -f coco_person_keypoints` makes it COCO"),
}


def read_source(
    source: Path,
    images: Path | None = None,
    category: str | None = None,
    predictions: bool = False,
) -> LabelSet:
    """Reads labels of any supported form.

    Args:
        source: A file or folder.
        images: Where the pictures or videos lie, if not where the source says.
        category: Category, class or skeleton to read, where there are several.
        predictions: Take a model's poses as well, where nobody labelled.

    Raises:
        ImportError: sleap-io is needed and missing.
        OSError: A file cannot be read.
        ValueError: The source is of no supported form, or is not what its form asks.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder")
    try:
        return _read(source, images, category, predictions)
    # A list where a name should be, and the like; frequent ones have their own words.
    except (TypeError, AttributeError, LookupError, OverflowError) as error:
        reason = f"{type(error).__name__}, {' '.join(str(error).split())}"
        raise ValueError(
            f"{source}: a value in it is not of the kind that its form has ({reason})"
        ) from error


def _read(
    source: Path, images: Path | None, category: str | None, predictions: bool
) -> LabelSet:
    suffix = source.suffix.lower()
    tables = deeplabcut_tables(source)
    if tables:
        return read_deeplabcut(source, tables, images)
    settings = yolo_yaml(source)
    if settings is not None:
        return read_yolo(settings, images, category)
    if source.is_dir():
        return _folder(source, images)
    if suffix == ".json":
        content = read_json(source)
        if is_labelme(content):
            return read_labelme(source, images)
        if is_coco(content):
            return read_coco_file(source, images, category)
        if is_label_studio(content):
            return read_label_studio(source, images)
        _refuse_other_json(source, content)
    if suffix in _BY_SLEAP_IO:
        return read_sleap(source, images, category, predictions)
    raise ValueError(f"{source}: {_what_it_is(source)}; expected {FORMS}")


def _folder(source: Path, images: Path | None) -> LabelSet:
    if any(source.rglob("*.json")):
        labels = read_labelme(source, images)
        if labels.pictures:
            return labels
    raise ValueError(
        f"{source}: this folder has no DeepLabCut tables, no YAML with kpt_shape "
        f"and no labelme files; expected {FORMS}"
    )


def _refuse_other_json(source: Path, content: Any) -> None:
    for key, (tool, way) in _OTHER_JSON.items():
        if isinstance(content, dict) and key in content:
            raise ValueError(f"{source}: {tool} wrote this, {way}")
    # AlphaTracker's, which sleap-io reads, is a list.
    if not isinstance(content, list) or not content:
        raise ValueError(f"{source}: this JSON holds no labels; expected {FORMS}")


def _what_it_is(source: Path) -> str:
    suffix = source.suffix.lower()
    if suffix in VIDEO_SUFFIXES or suffix in IMAGE_SUFFIXES:
        return "this is a video or a picture, and its labels lie elsewhere"
    if suffix == ".xml":
        return "an XML file; if CVAT wrote it, export 'COCO Keypoints 1.0' there"
    if suffix in (".yaml", ".yml"):
        return "this YAML has no kpt_shape, and no labelled data lie beside it"
    if suffix == ".txt":
        return "one label file; name its data set's YAML"
    return "labels of an unknown form"
