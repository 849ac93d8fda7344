"""Trains a model: `python train_tf.py --config FILE [key=value ...]`."""

import argparse
import sys

from qepose_tf.cli import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="a YAML file, see configs/")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--overwrite", action="store_true", help="replace the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run")
    parser.add_argument(
        "--allow-change", action="append", default=[], metavar="KEY", help="--resume"
    )
    parser.add_argument("--limit", help="only the first images")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    # Intermixed: overrides may stand before and after the options.
    given = parser.parse_intermixed_args()
    flags = [
        f"--{name}" for name in ("overwrite", "resume", "debug") if getattr(given, name)
    ]
    flags += ["--limit", given.limit] if given.limit else []
    for key in given.allow_change:
        flags += ["--allow-change", key]
    sys.exit(main(["train", *flags, "--", given.config, *given.overrides]))
