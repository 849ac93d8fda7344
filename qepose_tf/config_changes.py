"""Configs compared, and cut down to a few images."""

from typing import Any

from qepose_tf.config import Config


def differing_keys(first: Config, second: Config) -> list[str]:
    """The dotted keys in which two configs differ, in the order of the sections."""

    def flat(values: Any, key: str = "") -> dict[str, Any]:
        if not isinstance(values, dict):
            return {key: values}
        inner = (flat(v, f"{key}.{k}" if key else k) for k, v in values.items())
        return {key: value for part in inner for key, value in part.items()}

    one, other = (flat(config.model_dump(mode="json")) for config in (first, second))
    keys = dict.fromkeys([*one, *other])
    return [key for key in keys if one.get(key) != other.get(key)]


def limited(config: Config, images: int) -> Config:
    """The config on the first images of its training and validation data alone."""
    data = config.data
    if data.synthetic is not None:
        scenes = data.synthetic
        fewer = {
            "train_scenes": min(images, scenes.train_scenes),
            "val_scenes": min(images, scenes.val_scenes),
        }
        changed = {"synthetic": scenes.model_copy(update=fewer)}
    else:
        fewer = {"limit": images}
        train = [source.model_copy(update=fewer) for source in data.train_sources]
        changed = {
            "train": train if isinstance(data.train, list) else next(iter(train), None),
            "val": data.val and data.val.model_copy(update=fewer),
        }
    return config.model_copy(update={"data": data.model_copy(update=changed)})
