"""Which people of a crop are learned, and whose discs are ignored."""

import tensorflow as tf

from qepose_tf.ops.targets import centres, disc_map


def select_people(
    keypoints: tf.Tensor,
    area: tf.Tensor,
    large_enough: tf.Tensor,
    max_people: int,
    map_size: int,
    disc_radius: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Keeps the largest people of a crop; the discs of the others are ignored.

    Args:
        keypoints: `[N, K, 3]` (x, y, v) in pixels of the crop.
        area: `[N]` in the same pixels squared.
        large_enough: `[N]` bool; others are not kept.
        max_people: M.
        map_size: Side of the stride-4 map.
        disc_radius: In cells.

    Returns:
        keypoints `[M, K, 3]`, area `[M]`, both padded with 0, and the others' discs
        `[map_size, map_size, 1]`, 1 = ignored.
    """
    map_hw = (map_size, map_size)
    points, in_crop = (t[0] for t in centres(keypoints[None], area[None], map_hw))
    candidate = large_enough & in_crop
    largest = tf.argsort(tf.where(candidate, area, 0.0), direction="DESCENDING")
    kept = tf.boolean_mask(largest, tf.gather(candidate, largest))[:max_people]
    is_kept = tf.reduce_any(tf.range(tf.size(area))[:, None] == kept[None], axis=1)
    others = in_crop & ~is_kept
    discs = disc_map(points[None], others[None], map_hw, disc_radius)[0]
    missing = max_people - tf.size(kept)
    kept_keypoints = tf.pad(tf.gather(keypoints, kept), [[0, missing], [0, 0], [0, 0]])
    kept_area = tf.pad(tf.gather(area, kept), [[0, missing]])
    return (
        tf.ensure_shape(kept_keypoints, [max_people, *keypoints.shape[1:]]),
        tf.ensure_shape(kept_area, [max_people]),
        tf.ensure_shape(discs, [map_size, map_size, 1]),
    )
