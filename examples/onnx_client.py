"""People and their keypoints in photos, by an exported ONNX file.

    python onnx_client.py pose.onnx photo.jpg [photo.jpg ...]

Needs onnxruntime, NumPy, and Pillow to read and resize the photos.
"""

import argparse
import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def main(model: str, photos: list[str]) -> None:
    """Prints one JSON line per photo, coordinates in its pixels."""
    try:
        session = onnxruntime.InferenceSession(
            model, providers=["CPUExecutionProvider"]
        )
        about = json.loads(session.get_modelmeta().custom_metadata_map["pose.json"])
    except Exception as error:  # its errors have no other class in common
        sys.exit(f"{model}: expected an ONNX file with pose.json inside, {error}")
    names = about["skeleton"]["keypoints"]
    for photo in photos:
        image, shrink = letterbox(photo, about)
        outputs = session.run(["poses", "scores", "count"], {"images": image})
        poses, scores, count = (output[0] for output in outputs)
        people = []
        for row in range(count):
            pose = (poses[row] + 0.5) / shrink - 0.5
            keypoints = dict(zip(names, pose.round(2).tolist(), strict=True))
            score = round(float(scores[row]), 4)
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
    parser.add_argument("model", help="pose.onnx")
    parser.add_argument("photos", nargs="+", help="JPEG, PNG, ...")
    main(**vars(parser.parse_args()))
