import numpy as np
import pytest
from keras import ops

from qepose_tf.ops import decode, heat_decode
from tests.backends import compiled, everywhere, to_numpy

KEYPOINTS, HEIGHT, WIDTH = 5, 24, 32


def decoded(centre, heatmaps, poses_map, protocol, threshold=0.01, distance=0.3):
    """Our decoder on whole maps, the poses of every cell among them."""

    def run(centre, heatmaps, poses_map):
        window = heat_decode.PROTOCOLS[protocol].peak_window
        scores, cells = decode.top_cells(heat_decode.peaks(centre, window), 12)
        poses = decode.take_cells(poses_map, cells)
        return heat_decode.people(
            scores,
            poses,
            cells,
            heatmaps,
            score_threshold=threshold,
            nms_distance=distance,
            nms_keypoints=None,
            protocol=protocol,
        )

    arguments = [ops.convert_to_tensor(x) for x in (centre, heatmaps, poses_map)]
    return to_numpy(compiled(run)(*arguments))


def enlarged_value(heatmap, x, y):
    """A pixel of the heatmap, enlarged four times with whole cells on whole pixels."""
    height, width = heatmap.shape
    column, row = np.clip([x / 4, y / 4], 0, [width - 1, height - 1])
    left, top = int(column), int(row)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    return (
        heatmap[top, left] * (1 - column + left) * (1 - row + top)
        + heatmap[top, right] * (column - left) * (1 - row + top)
        + heatmap[bottom, left] * (1 - column + left) * (row - top)
        + heatmap[bottom, right] * (column - left) * (row - top)
    )


def published_decoder(centre, heatmaps, poses_map, protocol, threshold, distance):
    """The published decoders of one image, row by row and keypoint by keypoint."""
    height, width, keypoints = heatmaps.shape
    window = 3 if protocol == "dekr" else 5  # of a map whose sides' mean is below 200
    reach, found = window // 2, []
    for y, x in np.ndindex(height, width):
        top, left = max(y - reach, 0), max(x - reach, 0)
        around = centre[top : y + reach + 1, left : x + reach + 1]
        if centre[y, x] == around.max():
            found.append((centre[y, x], x, y))
    found = sorted(found, reverse=True)[:12]
    found = [row for row in found if row[0] > threshold]
    poses = np.array([poses_map[y, x] for _, x, y in found]) * 4.0
    heat = np.zeros((len(found), keypoints))
    for i, k in np.ndindex(*heat.shape):
        x, y = poses[i, k]
        if protocol == "dekr":  # the whole pixel of the enlarged heatmap
            x, y = np.floor(x), np.floor(y)
        else:  # grid_sample of half-pixel centres by coordinates of corners
            x = (x / 4 * width / (width - 1) - 0.5) * 4
            y = (y / 4 * height / (height - 1) - 0.5) * 4
        heat[i, k] = enlarged_value(heatmaps[..., k], x, y)
    mean = heat.mean(1)
    order = range(len(found)) if protocol == "dekr" else np.argsort(-mean)
    ignored, kept = set(), []
    for i in order:
        if i in ignored:
            continue
        size = np.linalg.norm(poses[i].max(0) - poses[i].min(0))
        gaps = np.linalg.norm(poses[i] - poses, axis=-1)
        group = np.flatnonzero((gaps < distance * size).sum(1) > keypoints // 2)
        best = group[np.argmax(mean[group])]
        if best not in ignored:
            kept.append(best)
            ignored |= set(group)
    scored = [(found[i][0] * heat[i]) for i in kept]
    rows = [(row.mean(), row, poses[i]) for row, i in zip(scored, kept, strict=True)]
    return sorted(
        (row for row in rows if row[0] > 0), key=lambda row: row[0], reverse=True
    )


def random_maps(seed, batch=2):
    """Crowded people: neighbours' poses are the same but for some cells."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.2, 1, (batch, HEIGHT, WIDTH, 1)) ** 3
    heatmaps = rng.uniform(-0.1, 1, (batch, HEIGHT, WIDTH, KEYPOINTS))
    people = rng.uniform(-3, 35, (batch, 6, KEYPOINTS, 2))
    who = rng.integers(0, 6, (batch, HEIGHT, WIDTH))
    poses = people[np.arange(batch)[:, None, None], who]
    poses = poses + rng.normal(0, 4, poses.shape)
    return [array.astype("float32") for array in (centre, heatmaps, poses)]


@pytest.mark.parametrize("protocol", heat_decode.PROTOCOLS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_published_decoder_on_random_maps(protocol, seed):
    maps = random_maps(seed)
    found = decoded(*maps, protocol)
    suppressed = 0
    for image, (centre, heatmaps, poses) in enumerate(zip(*maps, strict=True)):
        expected = published_decoder(
            centre[..., 0], heatmaps, poses, protocol, 0.01, 0.3
        )
        count = int((found["scores"][image] > 0).sum())
        suppressed += 12 - count
        assert count == len(expected)
        for row, (score, keypoint_scores, pose) in enumerate(expected):
            np.testing.assert_allclose(found["scores"][image, row], score, rtol=1e-4)
            np.testing.assert_allclose(
                found["keypoint_scores"][image, row], keypoint_scores, atol=1e-5
            )
            np.testing.assert_allclose(found["poses"][image, row], pose, atol=1e-4)
    assert suppressed > 0


def test_an_empty_map_has_no_people():
    centre, heatmaps, poses = random_maps(0)
    found = decoded(np.zeros_like(centre), heatmaps, poses, "dekr")
    assert not found["scores"].any() and not found["keypoint_scores"].any()


@pytest.mark.parametrize(("side", "window"), [(200, 3), (202, 5), (302, 7)])
def test_the_window_of_dekr_grows_with_the_map(side, window):
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(1, side, side, 1)).astype("float32")
    expected = to_numpy(decode.local_maxima(ops.convert_to_tensor(centre), window))
    (found,) = everywhere(lambda x: [heat_decode.peaks(x)], centre)
    np.testing.assert_array_equal(found, expected)


def test_the_window_is_chosen_in_a_graph_of_unknown_size():
    tf = pytest.importorskip("tensorflow")
    run = tf.function(
        heat_decode.peaks, input_signature=[tf.TensorSpec([None, None, None, 1])]
    )
    centre = np.random.default_rng(0).normal(size=(1, 202, 202, 1)).astype("float32")
    expected = heat_decode.peaks(tf.constant(centre))
    np.testing.assert_array_equal(run(centre), expected)


def test_a_pose_without_extent_is_kept():
    pose = np.zeros((1, 2, 3, 2), "float32")
    present = np.array([[True, False]])
    group = to_numpy(heat_decode.same_person(pose, present, 0.05, 1))
    np.testing.assert_array_equal(group[0], [[1, 0], [0, 0]])
