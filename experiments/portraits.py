"""Draws the people whom the shipped model finds in two portraits.

    python -m experiments.portraits docs/people.png

NASA's portrait of Eileen Collins (scikit-image carries it) and the US Navy's of Grace
Hopper (Matplotlib carries it) are in the public domain. All poses that score at least
the model's default are drawn.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import skimage

from experiments.quickstart import png
from qepose_tf.files.whole_files import write_file
from qepose_tf.images.decoding import read_image
from qepose_tf.images.letterbox import resize_image
from qepose_tf.inference.predictor import Predictor
from qepose_tf.presets.presets import PRESETS

HEIGHT = 384


def portraits() -> list[np.ndarray]:
    """The two pictures, RGB uint8, with as many rows."""
    hopper = Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
    pictures = [skimage.data.astronaut(), read_image(str(hopper), exif=True)]
    return [
        resize_image(picture, HEIGHT, round(HEIGHT * picture.shape[1] / len(picture)))
        for picture in pictures
    ]


def main(target: Path) -> None:
    """Writes the drawing and prints what was found."""
    score = PRESETS["people"].min_score
    drawn = []
    for found in Predictor("people", min_score=score)(portraits()):
        print(f"{len(found)} people, scores {np.round(found.scores, 2).tolist()}")
        drawn.append(np.asarray(found.draw(score)))
    write_file(target, png(np.concatenate(drawn, axis=1)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
