"""The cells of a map as a tensor."""

from keras import ops


def cell_centres(height, width):
    """All cells of a map in row-major order, `[height * width, 2]` int32 (x, y)."""
    y, x = ops.meshgrid(ops.arange(height), ops.arange(width), indexing="ij")
    cells = ops.stack([ops.reshape(x, [-1]), ops.reshape(y, [-1])], axis=-1)
    return ops.cast(cells, "int32")
