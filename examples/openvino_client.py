"""People and their keypoints in photos, by an exported OpenVINO folder.

    python openvino_client.py pose photo.jpg [photo.jpg ...]

Needs openvino, NumPy, and Pillow to read and resize the photos.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

sys.modules["openvino_telemetry"] = None  # or the next line would report its use
import openvino  # noqa: E402


def main(model: str, photos: list[str]) -> None:
    """Prints one JSON line per photo, coordinates in its pixels."""
    try:
        about = json.loads(Path(model, "pose.json").read_bytes())
        detect = openvino.Core().compile_model(Path(model, "pose.xml"), "CPU")
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"{model}: expected a folder with pose.json, .xml and .bin, {error}")
    names = about["skeleton"]["keypoints"]
    for photo in photos:
        image, shrink = letterbox(photo, about)
        found = detect({"images": image})
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
    parser.add_argument("model", help="folder of pose.xml, pose.bin and pose.json")
    parser.add_argument("photos", nargs="+", help="JPEG, PNG, ...")
    main(**vars(parser.parse_args()))
