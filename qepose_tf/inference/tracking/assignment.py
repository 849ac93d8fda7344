"""One-to-one pairs of the greatest similarity."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def best_pairs(
    similarity: np.ndarray, min_similarity: float, weights: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs rows and columns one to one so that the sum of similarities is greatest.

    With weights it is the sum of the products with them that is greatest.

    Pairs below the minimum count as none: they neither come out nor push others aside.

    Args:
        similarity: `[T, N]` in [0, 1].
        min_similarity: Of a pair, without its weight; more than 0.
        weights: Of each pair, more than 0; a shape that fits `[T, N]`.

    Returns:
        The rows and the columns of M pairs, `[M]` each, by rising row.

    Example:
        >>> best_pairs(np.array([[0.9, 0.8], [0.7, 0.1]]), 0.2)
        (array([0, 1]), array([1, 0]))
    """
    allowed = np.where(similarity >= min_similarity, similarity * weights, 0.0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    paired = allowed[rows, columns] > 0
    return rows[paired], columns[paired]
