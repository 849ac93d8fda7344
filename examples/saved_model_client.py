"""People and their keypoints in photos, by an exported SavedModel.

    python saved_model_client.py pose/1 photo.jpg [photo.jpg ...]

Needs tensorflow alone. Photos are JPEG or PNG; their EXIF orientation is not applied.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # or its notices hide our lines

import tensorflow as tf


def main(model: str, photos: list[str]) -> None:
    """Prints one JSON line per photo, coordinates in its pixels."""
    try:
        about = json.loads(Path(model, "assets.extra", "pose.json").read_bytes())
        loaded = tf.saved_model.load(model)
        detect = loaded.signatures["serve_encoded"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{model}: expected an exported SavedModel like pose/1, {error}")
    names = about["skeleton"]["keypoints"]
    for photo in photos:
        try:
            found = detect(encoded=tf.constant([Path(photo).read_bytes()]))
        except OSError as error:
            sys.exit(f"{photo}: expected a photo, {error}")
        except tf.errors.InvalidArgumentError:
            sys.exit(f"{photo}: expected a JPEG or PNG, got another or a broken file")
        people = []
        for row in range(found["count"][0]):
            pose = found["poses"][0, row].numpy().astype(float)
            keypoints = dict(zip(names, pose.round(2).tolist(), strict=True))
            score = round(float(found["scores"][0, row]), 4)
            people.append({"score": score, "keypoints": keypoints})
        print(json.dumps({"image": photo, "people": people}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of saved_model.pb, such as pose/1")
    parser.add_argument("photos", nargs="+", help="JPEG or PNG")
    main(**vars(parser.parse_args()))
