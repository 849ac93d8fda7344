"""`benchmarks/training.py` with a body of few layers, whose step is soon traced.

The processes that the script starts run the same file first, as `__mp_main__`, so that
they have this body, too.
"""

import sys
from pathlib import Path

from qepose_tf.models.hrnet import VARIANTS
from tests.micro_body import SHALLOW

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
VARIANTS["tiny"] = SHALLOW

if __name__ == "__main__":
    import training

    training.main()
