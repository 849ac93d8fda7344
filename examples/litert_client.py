"""People and their keypoints in photos, by an exported LiteRT (TFLite) file.

    python litert_client.py pose.tflite photo.jpg [photo.jpg ...]

Needs ai-edge-litert, NumPy, and Pillow to read and resize the photos.
"""

import argparse
import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps


def main(model: str, photos: list[str]) -> None:
    """Prints one JSON line per photo, coordinates in its pixels."""
    try:
        with zipfile.ZipFile(model) as archive:
            about = json.loads(archive.read("pose.json"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"{model}: expected a TFLite file with pose.json inside, {error}")
    names = about["skeleton"]["keypoints"]
    detect = Interpreter(model).get_signature_runner("serving_default")
    for photo in photos:
        image, shrink = letterbox(photo, about)
        found = detect(images=image)
        people = []
        for row in range(found["count"][0]):
            pose = (found["poses"][0, row] + 0.5) / shrink - 0.5
            keypoints = dict(zip(names, pose.round(2).tolist(), strict=True))
            score = round(float(found["scores"][0, row]), 4)
            people.append({"score": score, "keypoints": keypoints})
        print(json.dumps({"image": photo, "people": people}))


def letterbox(photo: str, about: dict) -> tuple[np.ndarray, np.ndarray]:
    """The photo at the top left of the model's image, and how much it shrank (x, y)."""
    try:
        picture = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        sys.exit(f"{photo}: expected a photo, {error}")
    height, width = about["input"]["height"], about["input"]["width"]
    scale = min(height / picture.height, width / picture.width)
    size = [max(1, round(side * scale)) for side in picture.size]
    shape = (about["input"]["batch"], height, width, 3)
    image = np.full(shape, about["letterbox"]["fill"], np.uint8)
    image[0, : size[1], : size[0]] = picture.resize(size, Image.Resampling.BILINEAR)
    return image, np.divide(size, picture.size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="pose.tflite")
    parser.add_argument("photos", nargs="+", help="JPEG, PNG, ...")
    main(**vars(parser.parse_args()))
