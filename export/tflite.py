"""Writes a TFLite file: `python export/tflite.py MODEL.keras --out PATH`."""

import sys

from qepose_tf.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", "--format", "tflite", *sys.argv[1:]]))
