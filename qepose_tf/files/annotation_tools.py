"""Which annotation tool wrote a file that is not COCO's form, and what to do then."""

import json
import re
from pathlib import Path
from typing import Any

from qepose_tf.files.locations import Url

_LOOKED_AT = 4096  # bytes: a tool shows itself in a file's first lines
_YOLO_YAML = re.compile(rb"^(kpt_shape|names|nc|path)\s*:", re.MULTILINE)
_YOLO_TEXT = re.compile(rb"\s*\d+(\s+-?\d*\.?\d+){4,}\s*(\n|\r|$)")


def advice(path: Path | Url, content: bytes) -> str:
    """How a message about a file that is not COCO's form goes on.

    Args:
        path: Of the file.
        content: What is in it, or the beginning of that.

    Returns:
        Which tool wrote it and what makes COCO of it, after "; "; empty where no tool
        is recognised.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        tool = _tool_of_text(content[:_LOOKED_AT])
    else:
        if _are_results(values):
            return (
                "; this looks like detections in COCO's form of results, "
                "expected the annotation file that they belong to"
            )
        tool = tool_of(values)
    if tool is None:
        return ""
    # These two write a file for each picture; the data set is their folder.
    folder = tool in ("labelme", "YOLO (labels)") and isinstance(path, Path)
    source = path.parent if folder and isinstance(path, Path) else path
    way = f"convert it with 'qepose convert {source} --out FOLDER'"
    return f"; this looks like a file of {tool}: {_ELSEWHERE.get(tool, way)}"


def tool_of(values: Any) -> str | None:
    """The tool that writes JSON of this form, None where it is not known.

    Args:
        values: What is in the JSON file.
    """
    if isinstance(values, list):
        return _tool_of_list(values)
    if not isinstance(values, dict):
        return None
    for tool, keys in _KEYS:
        if all(key in values for key in keys):
            return tool
    entries = list(values.values())[:3]
    if entries and all(isinstance(e, dict) and "regions" in e for e in entries):
        return "VIA (VGG Image Annotator)"
    return None


# In this order: the first row whose keys are all there is the tool.
_KEYS = (
    ("labelme", ("shapes", "imagePath")),
    ("VIA (VGG Image Annotator)", ("_via_img_metadata",)),
    ("VIA (VGG Image Annotator)", ("project", "metadata", "file")),
    ("Datumaro", ("items", "categories")),
    ("Label Studio", ("data", "annotations")),
    ("OpenPose", ("people", "version")),
    ("Supervisely", ("objects", "size")),
    ("SLEAP", ("skeletons", "videos")),
)
# Tools whose files `qepose convert` does not read, and what to do instead.
_ELSEWHERE = {
    "CVAT": "export 'COCO Keypoints 1.0' from CVAT",
    "Datumaro": "write COCO with 'datum convert -f coco_person_keypoints'",
    "OpenPose": "these are detections, label the pictures with a tool that writes COCO",
    "Pascal VOC": "it holds boxes and no keypoints, label them with a tool that does",
    "Supervisely": "export COCO keypoints from Supervisely",
    "VIA (VGG Image Annotator)": "its COCO export holds no keypoints, label them with "
    "labelme, CVAT or Label Studio",
}


def _tool_of_list(values: list[Any]) -> str | None:
    first = values[0] if values else None
    if not isinstance(first, dict):
        return None
    if "data" in first and ("annotations" in first or "completions" in first):
        return "Label Studio"
    return tool_of(first)


def _are_results(values: Any) -> bool:
    first = values[0] if isinstance(values, list) and values else None
    return isinstance(first, dict) and {"image_id", "keypoints"} <= set(first)


def _tool_of_text(head: bytes) -> str | None:
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    if start.startswith(b"\x89HDF"):
        return "SLEAP or DeepLabCut"
    if start.startswith(b"<"):
        if b"<annotations" in start:
            return "CVAT"
        return "Pascal VOC" if b"<annotation" in start else None
    if start.startswith(b"scorer,"):
        return "DeepLabCut"
    if _YOLO_YAML.search(start) and not start.startswith(b"{"):
        return "YOLO"
    return "YOLO (labels)" if _YOLO_TEXT.match(start) else None
