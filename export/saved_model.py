"""Writes a SavedModel: `python export/saved_model.py MODEL.keras --out PATH`."""

import sys

from qepose_tf.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", "--format", "saved_model", *sys.argv[1:]]))
