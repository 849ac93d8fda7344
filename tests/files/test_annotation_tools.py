"""Files of other annotation tools: which one wrote it, and what converts it."""

import json

import pytest

from qepose_tf.data.coco.dataset import read_coco
from qepose_tf.skeleton import Skeleton
from tests.data.coco_files import SKELETON

LABELME = {"version": "5.4", "shapes": [], "imagePath": "a.jpg", "imageHeight": 9}
VIA_ENTRY = {"filename": "a.jpg", "size": 1, "regions": [], "file_attributes": {}}
JSON_FILES = {
    "labelme": LABELME,
    "VIA (VGG Image Annotator)": {"_via_settings": {}, "_via_img_metadata": {}},
    "VIA": {"a.jpg1": VIA_ENTRY, "b.jpg2": VIA_ENTRY},
    "Datumaro": {"info": {}, "categories": {"points": {}}, "items": []},
    "Label Studio": [{"id": 1, "data": {"img": "a.jpg"}, "annotations": []}],
    "OpenPose": {"version": 1.3, "people": [{"pose_keypoints_2d": []}]},
}
TEXT_FILES = {
    "YOLO": b"path: ../data\nkpt_shape: [17, 3]\nnames:\n  0: person\n",
    "YOLO (labels)": b"0 0.5 0.5 0.2 0.3 0.4 0.4 2 0.6 0.6 1\n",
    "CVAT": b'<?xml version="1.0"?>\n<annotations>\n <version>1.1</version>\n',
    "Pascal VOC": b"<annotation><folder>a</folder></annotation>",
    "DeepLabCut": b"scorer,me,me\nbodyparts,nose,nose\ncoords,x,y\n",
    "SLEAP": b"\x89HDF\r\n\x1a\n",
}
# What is to be done where `qepose convert` does not read the tool's files.
ELSEWHERE = {
    "VIA (VGG Image Annotator)": "its COCO export holds no keypoints",
    "VIA": "its COCO export holds no keypoints",
    "Datumaro": "'datum convert -f coco_person_keypoints'",
    "OpenPose": "these are detections",
    "CVAT": "export 'COCO Keypoints 1.0' from CVAT",
    "Pascal VOC": "it holds boxes and no keypoints",
}
FILES = {
    **{tool: json.dumps(values).encode() for tool, values in JSON_FILES.items()},
    **TEXT_FILES,
}


@pytest.mark.parametrize("tool", FILES)
def test_the_message_names_the_tool_and_the_command(tmp_path, tool):
    path = tmp_path / "labels.json"
    path.write_bytes(FILES[tool])
    with pytest.raises(ValueError) as error:
        read_coco(path, tmp_path, SKELETON)
    text = str(error.value)
    assert text.startswith(f"{path}: expected a COCO")
    assert f"this looks like a file of {tool}" in text
    folder = tool in ("labelme", "YOLO (labels)")  # they write a file for each picture
    source = tmp_path if folder else path
    command = f"'qepose convert {source} --out FOLDER'"
    assert (ELSEWHERE.get(tool) or command) in text
    assert (command in text) == (tool not in ELSEWHERE)
    assert "\n" not in text


@pytest.mark.parametrize("tool", JSON_FILES)
def test_a_skeleton_in_such_a_file_is_refused_the_same_way(tmp_path, tool):
    path = tmp_path / "labels.json"
    path.write_bytes(FILES[tool])
    with pytest.raises(ValueError, match="this looks like a file of ") as error:
        Skeleton.load(path)
    assert "\n" not in str(error.value)


def test_results_are_no_annotations(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 1, "keypoints": [], "score": 1.0}]))
    with pytest.raises(ValueError, match="detections in COCO's form of results"):
        read_coco(path, tmp_path, SKELETON)


def test_a_folder_is_no_annotation_file(tmp_path):
    with pytest.raises(OSError, match="got a folder; .*'qepose convert"):
        read_coco(tmp_path, tmp_path, SKELETON)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\x89PNG", b"[1]"])
def test_a_file_of_nobody_is_given_no_advice(tmp_path, content):
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_coco(path, tmp_path, SKELETON)
    assert "looks like" not in str(error.value)
    assert str(error.value).startswith(f"{path}: expected a COCO")
