"""What travels between the model, its targets and its losses."""

from typing import Any, NamedTuple

Tensor = Any  # of whichever backend


class Facts(NamedTuple):
    """What the labels of a batch say, as the data pipeline gives it to `fit`.

    Attributes:
        keypoints: `[B, M, K, 3]` (x, y, v) in input pixels; v = 0 is unlabelled.
        area: `[B, M]` in input pixels squared; 0 marks padding.
        ignore: `[B, H, W, 1]`, 1 in the cells that the score loss must not look at.
    """

    keypoints: Tensor
    area: Tensor
    ignore: Tensor

    @classmethod
    def of(cls, labels: "Facts | dict[str, Tensor]") -> "Facts":
        """Facts from facts, or from a dict with their names.

        Raises:
            ValueError: a name is missing or unknown.
        """
        if isinstance(labels, cls):
            return labels
        if not isinstance(labels, dict) or set(labels) != set(cls._fields):
            found = sorted(labels) if isinstance(labels, dict) else type(labels)
            raise ValueError(f"expected facts {list(cls._fields)}, got {found}")
        return cls(**labels)


class Omega(NamedTuple):
    """The cells whose poses are trained: the discs around all people's centres.

    Padded, `[B, P]` lists M times a disc's cells for each image. Packed, `[1, Q]`
    lists the owned cells of the whole batch in a single row, with one that does not
    count at its end.

    Attributes:
        images: `[B, P]` int32, the image of the batch that each cell lies in.
        cells: `[B, P, 2]` int32 (x, y).
        owned: `[B, P]` float32, 1 where the cell counts.
        distance2: `[B, P]` float32, squared distance from the centre in cells.
        keypoints: `[B, P, K, 3]` of the cell's person (x, y, labelled 0 or 1) in cells.
        area: `[B, P]` of the cell's person in cells squared.
    """

    images: Tensor
    cells: Tensor
    owned: Tensor
    distance2: Tensor
    keypoints: Tensor
    area: Tensor


class Divisors(NamedTuple):
    """What the sums of the losses are divided by: float32 scalars.

    They are counted over the whole batch on all replicas, and depend on facts alone, so
    that a batch that is trained in parts has them before its first part.

    Attributes:
        scores: of the score loss.
        coordinates: of the displacement loss, the labelled coordinates in Omega.
        cells: of the quality branch's loss, the cells of Omega.
        shares: the number of parts whose losses are summed.
    """

    scores: Tensor
    coordinates: Tensor
    cells: Tensor
    shares: Tensor
