"""Writes an untrained model whose poses are tame enough to time and compare.

python benchmarks/settle.py CONFIG IMAGES FILE.keras [--backbone NAME] [--size N]
"""

import argparse
from pathlib import Path

from qepose_tf.benchmark.settled import settled_model
from qepose_tf.building import model_settings
from qepose_tf.config.reading import load_config
from qepose_tf.images.decoding import read_image
from qepose_tf.images.finding import find_images
from qepose_tf.skeleton import Skeleton

PHOTOS = 4


def main() -> None:
    """Settles on the first images of a folder, and saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("images", type=Path, help="a folder of photos")
    parser.add_argument("file", type=Path, help="to write")
    parser.add_argument("--backbone", help="in place of the config's")
    parser.add_argument("--size", type=int, help="in place of the config's, pixels")
    options = parser.parse_args()
    config = load_config(options.config)
    changed = {"backbone": options.backbone, "input_size": options.size}
    settings = model_settings(config)
    settings |= {name: value for name, value in changed.items() if value is not None}
    photos = find_images([str(options.images)])[:PHOTOS]
    images = [read_image(photo, exif=True) for photo in photos]
    skeleton = Skeleton.load(config.skeleton, config.data.categories)
    settled_model(skeleton, settings, images, config.seed).save(options.file)


if __name__ == "__main__":
    main()
