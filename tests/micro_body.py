"""Bodies of four branches and no blocks, for tests of what is not the body.

`MICRO` has the fewest channels that go. `SHALLOW` has those of `tiny`, for tests that
need scores of an untrained model to differ: its layers are a third of the body's.

As a program it runs a script with that body as the backbone `tiny`, for tracing a
larger one takes most of a short run: `python -m tests.micro_body SCRIPT ARGUMENTS`.
"""

import runpy
import sys
from dataclasses import replace

from qepose_tf.models.hrnet import VARIANTS, Variant

MICRO = Variant(width=4, stem=4, bottleneck=4, bottlenecks=1, modules=(0, 0, 0))
SHALLOW = replace(VARIANTS["tiny"], modules=(0, 0, 0))


def main(script: str) -> None:
    """Runs the script in this process, with the arguments behind its name."""
    VARIANTS["tiny"] = MICRO
    del sys.argv[0]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
