"""One likely mistake."""

import dataclasses

import numpy as np

# What a finding is called in JSON, and what its group is called on the page.
KINDS = {
    "sides_swapped": "Left and right swapped",
    "outside_box": "Keypoints outside the box",
    "impossible_limb": "Limbs of impossible length",
    "doubled_person": "People labelled twice",
    "unlabelled_person": "People whom nobody labelled",
    "near_duplicate": "Pictures in both training and validation",
}
# What each kind does to a model, for those who decide whether to look.
HARM = {
    "sides_swapped": "The model learns that left may be called right. These poses look "
    "like the other poses of this data set once their sides are exchanged.",
    "outside_box": "Either the keypoint or the box is wrong. A wrong keypoint is "
    "learned; a wrong box gives a wrong area, which says how exact a pose has to be.",
    "impossible_limb": "A keypoint was probably set on somebody else or on the wrong "
    "spot: the limb is far longer than this person's other limbs allow.",
    "doubled_person": "Two annotations describe one body. Each is taught as a person "
    "of its own, on the same spot.",
    "unlabelled_person": "The model sees somebody where nobody is labelled. Such a "
    "spot is taught as background, unless the data set says that not everybody is "
    "labelled.",
    "near_duplicate": "A picture that was trained on tells nothing about new pictures, "
    "so the figures on the validation set come out too high.",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Finding:
    """A likely mistake in one picture.

    Attributes:
        kind: A key of `KINDS`.
        picture: The row of the picture in its data set.
        why: One sentence for the user.
        certainty: Larger is more certain; comparable within a kind only.
        people: Rows of `People`; empty where nobody labelled is meant.
        keypoints: Indices of the keypoints that are meant.
        pose: `[K, 2]` what a model found, in the skeleton of that model.
        twin: The row of the other picture, in the validation set.
    """

    kind: str
    picture: int
    why: str
    certainty: float
    people: tuple[int, ...] = ()
    keypoints: tuple[int, ...] = ()
    pose: np.ndarray | None = None
    twin: int | None = None
