import dataclasses
import json
import logging
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from qepose_tf.skeleton import COCO, CROWDPOSE, Skeleton, guess_flip_pairs


def make(**changes) -> Skeleton:
    values = {
        "name": "test",
        "keypoints": ("nose", "left_hand", "right_hand"),
        "flip_pairs": (("left_hand", "right_hand"),),
        "limbs": (("nose", "left_hand"),),
        "sigmas": (0.1, 0.2, 0.2),
    }
    return Skeleton(**{**values, **changes})


def test_coco_is_the_order_of_the_annotation_files():
    assert COCO.num_keypoints == 17
    assert COCO.keypoints[:3] == ("nose", "left_eye", "right_eye")
    assert COCO.keypoints[15:] == ("left_ankle", "right_ankle")
    assert COCO.flip_permutation == (
        *(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    )
    assert COCO.limb_indices[0] == (15, 13)
    assert len(COCO.limbs) == 19
    assert COCO.sigmas == (
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    )


def test_coco_sigmas_are_those_of_pycocotools():
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    assert COCO.sigmas == pytest.approx(
        list(cocoeval.Params("keypoints").kpt_oks_sigmas)
    )


def test_crowdpose_begins_at_the_shoulders():
    assert CROWDPOSE.num_keypoints == 14
    assert CROWDPOSE.keypoints[0] == "left_shoulder"
    assert CROWDPOSE.keypoints[12:] == ("head", "neck")
    assert CROWDPOSE.flip_permutation == (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13)
    assert CROWDPOSE.sigmas[6] == 0.107
    assert CROWDPOSE.sigmas[12:] == (0.079, 0.079)


@pytest.mark.parametrize("skeleton", [COCO, CROWDPOSE])
def test_flipping_twice_changes_nothing(skeleton):
    permutation = skeleton.flip_permutation
    assert [permutation[k] for k in permutation] == list(range(skeleton.num_keypoints))


def test_dict_json_and_yaml_round_trips(tmp_path):
    assert Skeleton.from_dict(COCO.to_dict()) == COCO
    assert Skeleton.from_dict(json.loads(json.dumps(CROWDPOSE.to_dict()))) == CROWDPOSE
    path = tmp_path / "skeleton.yaml"
    path.write_text(yaml.safe_dump(COCO.to_dict()))
    assert Skeleton.from_yaml(path) == COCO
    assert Skeleton.load(path) == COCO


def test_is_frozen_and_hashable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        COCO.name = "other"
    assert hash(COCO) == hash(Skeleton.from_dict(COCO.to_dict()))


@pytest.mark.parametrize("count", [1, 133])
def test_sizes_at_the_limits(count):
    names = tuple(f"point_{k}" for k in range(count))
    skeleton = Skeleton("many", names, (), (), (0.05,) * count)
    assert skeleton.num_keypoints == count
    assert skeleton.flip_permutation == tuple(range(count))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": ()}, "keypoints: expected 1 to 133, got 0"),
        ({"keypoints": tuple(map(str, range(134)))}, "expected 1 to 133, got 134"),
        ({"keypoints": ("a", "b", "a")}, r"unique names, got \['a'\]"),
        ({"keypoints": "nose"}, "keypoints: expected a list of names, got 'nose'"),
        ({"flip_pairs": (("left_hand", "right_hnd"),)}, "did you mean 'right_hand'"),
        ({"flip_pairs": (("nose", "nose"),)}, "two different names"),
        (
            {"flip_pairs": (("left_hand", "right_hand"), ("nose", "left_hand"))},
            "'left_hand' in at most one pair",
        ),
        ({"flip_pairs": ("nose",)}, "expected a pair of names, got 'nose'"),
        ({"limbs": (("nose", "tail"),)}, "limbs: unknown keypoint 'tail'"),
        ({"sigmas": (0.1, 0.2)}, "sigmas: expected 3 positive numbers"),
        ({"sigmas": (0.1, 0.2, 0.0)}, "sigmas: expected a positive number, got 0.0"),
        ({"sigmas": (0.1, 0.2, -1)}, "got -1"),
        ({"sigmas": (0.1, 0.2, float("nan"))}, "got nan"),
        ({"sigmas": (0.1, 0.2, float("inf"))}, "got inf"),
        ({"sigmas": (0.1, 0.2, "0.3")}, "got '0.3'"),
        ({"sigmas": (0.1, 0.2, True)}, "got True"),
    ],
)
def test_contradictions_are_refused_in_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)
    assert "skeleton 'test'" in str(caught.value)


def test_missing_sigmas_warn_with_the_value_used():
    values = {"name": "hand", "keypoints": ["wrist", "thumb"]}
    with pytest.warns(UserWarning, match="'hand': no sigmas given, 0.05 is used"):
        skeleton = Skeleton.from_dict(values)
    assert skeleton.sigmas == (0.05, 0.05)
    assert skeleton.flip_pairs == skeleton.limbs == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "expected a mapping"),
        ({"keypoints": ["a"]}, "name: expected a string, got None"),
        ({"name": "a"}, "keypoints: expected a list of names, got None"),
        (
            {"name": "a", "keypoints": ["a"], "sigma": [1]},
            "unknown key 'sigma', did you mean 'sigmas'",
        ),
    ],
)
def test_wrong_dicts(values, message):
    with pytest.raises(ValueError, match=message):
        Skeleton.from_dict(values)


def test_category_of_coco_gets_its_own_pairs_and_sigmas():
    limbs = [[a + 1, b + 1] for a, b in COCO.limb_indices]
    category = {"name": "person", "keypoints": list(COCO.keypoints), "skeleton": limbs}
    skeleton = Skeleton.from_coco_category(category)
    assert dataclasses.replace(skeleton, name="coco") == COCO


def test_category_limbs_are_one_based_and_pairs_guessed(caplog):
    category = {
        "name": "dog",
        "keypoints": ["tail", "left_paw", "right_paw"],
        "skeleton": [[1, 2], [1, 3]],
    }
    with caplog.at_level(logging.INFO, "qepose_tf.skeleton"):
        skeleton = Skeleton.from_coco_category(category, sigmas=[0.1, 0.2, 0.2])
    assert skeleton.limb_indices == ((0, 1), (0, 2))
    assert skeleton.flip_permutation == (0, 2, 1)
    assert "left_paw" in caplog.text
    with pytest.warns(UserWarning, match="0.05"):
        unpaired = Skeleton.from_coco_category(category, flip_pairs=[])
    assert unpaired.flip_pairs == ()


@settings(derandomize=True, database=None, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(-2, 5) | st.floats() | st.text(), max_size=3)
        | st.none()
        | st.integers()
        | st.text()
    )
    | st.integers()
    | st.text()
    | st.dictionaries(st.text(), st.integers())
)
def test_limbs_never_decide_whether_a_category_is_read(limbs):
    category = {"name": "dog", "keypoints": ["a", "b", "c"], "skeleton": limbs}
    skeleton = Skeleton.from_coco_category(category, [0.1] * 3, ())
    found = skeleton.limb_indices
    assert all(a != b and {a, b} <= {0, 1, 2} for a, b in found)
    assert len(found) <= (len(limbs) if isinstance(limbs, list) else 0)


@pytest.mark.parametrize(
    ("limbs", "expected", "said"),
    [
        ([[1, 2], [1, 3]], [(0, 1), (0, 2)], None),
        ([["1", 2.0]], [(0, 1)], None),
        ([[0, 1], [0, 2]], [(0, 1), (0, 2)], "counted from 0"),
        ([[0, 1], [1, 3]], [(0, 2)], "1 of 2 limbs .*1 to 3 .*first: .0, 1"),
        ([[1, 2], [1, 4]], [(0, 1)], r"1 of 2 limbs .*first: \[1, 4"),
        ([[2, 2], "12", [1], None], [], "4 of 4 limbs"),
        (None, [], None),
        (7, [], "1 of 1 limbs"),
    ],
)
def test_limbs_that_cannot_be_read_are_left_out_and_said(caplog, limbs, expected, said):
    category = {"name": "dog", "keypoints": ["a", "b", "c"], "skeleton": limbs}
    skeleton = Skeleton.from_coco_category(category, [0.1] * 3, ())
    assert list(skeleton.limb_indices) == expected
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == (said is not None)
    assert said is None or re.search(said, warnings[0])


def test_categories_of_a_file_must_have_the_same_keypoints(tmp_path):
    path = tmp_path / "labels.json"
    zoo = [
        {"name": name, "keypoints": keypoints}
        for name, keypoints in (
            ("horse", ["nose", "tail"]),
            ("zebra", ["nose", "tail"]),
            ("bird", ["beak", "tail"]),
        )
    ]
    path.write_text(json.dumps({"categories": [{"name": "car"}, *zoo]}))
    with pytest.raises(
        ValueError, match="'horse' and 'bird'.*data.categories"
    ) as error:
        Skeleton.load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    with pytest.warns(UserWarning, match="no sigmas"):
        skeleton = Skeleton.load(path, ["zebra", "horse"])
    assert skeleton.keypoints == ("nose", "tail")
    with pytest.raises(ValueError, match="no category 'hors', did you mean 'horse'"):
        Skeleton.load(path, ["hors"])
    path.write_text(json.dumps({"categories": [{"name": "car"}, *zoo[:2]]}))
    with pytest.warns(UserWarning, match="no sigmas"):
        assert Skeleton.load(path) == dataclasses.replace(skeleton, name="horse")


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["left_x", "right_x"], [("left_x", "right_x")]),
        (["x_right", "x_left"], [("x_left", "x_right")]),
        (["l_x", "r_x", "nose"], [("l_x", "r_x")]),
        (["LeftX", "RightX"], [("LeftX", "RightX")]),
        (["ear L", "ear R"], [("ear L", "ear R")]),
        (["left_x", "tail"], []),
        (["owl", "owr"], []),
    ],
)
def test_guessed_pairs(names, pairs):
    assert guess_flip_pairs(names) == tuple(pairs)


def test_load_finds_names_and_coco_files(tmp_path):
    assert Skeleton.load("coco") is COCO
    assert Skeleton.load("crowdpose") is CROWDPOSE
    path = tmp_path / "labels.json"
    category = {"name": "person", "keypoints": list(COCO.keypoints)}
    path.write_text(json.dumps({"categories": [{"name": "car"}, category]}))
    assert Skeleton.load(path).keypoints == COCO.keypoints


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "expected COCO JSON"),
        ("a.json", "[]", "expected COCO JSON"),
        ("a.json", '{"categories": 3}', "expected a list of categories"),
        (
            "a.json",
            '{"categories": []}',
            "expected a category with keypoints, got none",
        ),
        ("a.json", '{"categories": [{"keypoints": ["a", 1]}]}', "list of names"),
        ("a.yaml", "a: [", "expected a YAML skeleton"),
        ("a.yaml", "", "expected a mapping"),
        ("a.yaml", "name: a\nkeypoints: []", "expected 1 to 133"),
    ],
)
def test_wrong_files_are_named_in_one_line(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Skeleton.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file_binary_file_and_unknown_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such skeleton file"):
        Skeleton.load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="expected a text file"):
        Skeleton.load(tmp_path / "bytes.yaml")
    with pytest.raises(ValueError, match="'cocoo': expected one of .*coco"):
        Skeleton.load("cocoo")
