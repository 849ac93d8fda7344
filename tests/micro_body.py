"""A body of four branches and no blocks, for tests of what is not the body."""

from qepose_tf.models.hrnet import Variant

MICRO = Variant(width=4, stem=4, bottleneck=4, bottlenecks=1, modules=(0, 0, 0))
