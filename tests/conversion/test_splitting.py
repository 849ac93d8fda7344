"""Frames of one video or folder are never in train and val, where that can be."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qepose_tf.conversion.labels import Frame, Person, Picture
from qepose_tf.conversion.splitting import split, split_of_source


def pictures(sizes, people=True):
    """Groups a, b, ... of so many frames each."""
    who = [Person({"nose": (1.0, 2.0, 2.0)})] if people else []
    return [
        Picture(Frame(f"{chr(97 + row)}.mp4", index, None), chr(97 + row), list(who))
        for row, size in enumerate(sizes)
        for index in range(size)
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=8),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_no_group_is_divided(sizes, share, seed):
    given_pictures = pictures(sizes)
    (train, val), _ = split(given_pictures, share, seed)
    groups = [{picture.group for picture in half} for half in (train, val)]
    assert groups[0] and groups[1] and not groups[0] & groups[1]
    assert sorted(p.key for p in train + val) == sorted(p.key for p in given_pictures)
    assert split(given_pictures, share, seed)[0] == (train, val)


@pytest.mark.parametrize(
    ("sizes", "share", "expected"),
    [([3, 2], 0.4, 2), ([60, 40], 0.2, 40), ([20] * 5, 0.2, 20), ([7] * 10, 0.25, 14)],
)
def test_val_gets_about_its_share(sizes, share, expected):
    for seed in range(4):
        assert len(split(pictures(sizes), share, seed)[0][1]) == expected


def test_the_seed_chooses():
    chosen = {split(pictures([4] * 6), 0.2, s)[0][1][0].group for s in range(12)}
    assert len(chosen) > 2


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 60), st.floats(0.01, 0.99))
def test_one_group_is_cut_once(size, share):
    (train, val), how = split(pictures([size]), share, 0)
    assert [p.source.index for p in train + val] == list(range(size))
    assert train and val
    assert abs(len(val) - share * size) <= 1
    assert "the only video or folder" in how


def test_pictures_are_in_the_order_of_their_numbers():
    who = [Person({"nose": (1.0, 2.0, 2.0)})]
    names = ["img10.png", "img9.png", "img100.png", "img2.png"]
    given_pictures = [Picture(Path("cage") / name, "cage", who) for name in names]
    (train, val), _ = split(given_pictures, 0.25, 0)
    assert [p.source.name for p in train + val] == [
        *("img2.png", "img9.png", "img10.png", "img100.png")
    ]


def test_both_sides_have_people():
    few = pictures([9])
    for picture in few[1:8]:
        picture.people = []
    (train, val), _ = split(few, 0.2, 0)
    assert [p.source.index for p in val] == [8] and len(train) == 8
    background = pictures([3], people=False)
    alone = [Picture(Path("x/1.png"), "x", few[0].people) for _ in range(2)]
    (train, val), _ = split(background + alone, 0.9, 0)
    assert len(val) == 1 and val[0].group == "x"
    with pytest.raises(ValueError, match="expected two pictures with labelled people"):
        split(pictures([1]) + background, 0.2, 0)
    assert split(pictures([1]), 0, 0)[0] == (pictures([1]), [])


def test_the_split_of_a_source_needs_both_sides():
    given_pictures = pictures([2, 2])
    assert split_of_source(given_pictures) is None
    for picture in given_pictures:
        picture.split = "train" if picture.group == "a" else "val"
    assert split_of_source(given_pictures) == (given_pictures[:2], given_pictures[2:])
    given_pictures[3].split = None  # in both
    assert split_of_source(given_pictures) is None
