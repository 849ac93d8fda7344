"""COCO data sets as tf.data pipelines of facts; the model makes every target."""

import logging
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from qepose_tf.data.batches.colour import colour_factors, finished_pixels
from qepose_tf.data.batches.crop import (
    AugmentSettings,
    choose_view,
    crop_draw,
    random_crop,
    view_draw,
    warp_area,
    warp_keypoints,
)
from qepose_tf.data.batches.epoch_order import (
    deterministic,
    epoch_order,
    ordered_rows,
    told,
)
from qepose_tf.data.batches.example import (
    Cache,
    Example,
    ExampleLoader,
)
from qepose_tf.data.batches.people import select_people, unknown_background
from qepose_tf.data.batches.warp import covered, warp_ignore, warp_image
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.ops.geometry import STRIDE
from qepose_tf.skeleton import Skeleton

logger = logging.getLogger(__name__)

# A crop of scale 0.75 still has a source pixel for each of its own, and more.
_KEPT_SHORT_SIDE = 1.5


class TakesImages(Protocol):
    """What a data set must know of the model that it feeds."""

    input_size: int
    mean: np.ndarray
    loss_settings: Any
    skeleton: Skeleton


def train_dataset(
    coco: CocoDataset,
    model: TakesImages | None = None,
    *,
    batch_size: int = 16,
    input_size: int | None = None,
    fill: np.ndarray | None = None,
    disc_radius: float | None = None,
    augment: AugmentSettings | None = None,
    max_people: int = 30,
    min_area: float = 1024.0,
    seed: int = 0,
    cache: Cache = "none",
    drop_remainder: bool = True,
    strict: bool = False,
    initial_epoch: int = 0,
    initial_step: int | None = None,
    shard: tuple[int, int] = (0, 1),
    pieces: int = 1,
    on_batch: Callable[[int], None] | None = None,
    fixed_people: bool = False,
) -> tf.data.Dataset:
    """One epoch of augmented batches; each pass over it is the next epoch.

    Every pass draws another order and other augmentations, all from `seed`, the number
    of the pass and the image's row: a second data set of the same seed repeats them.
    With `initial_step` epochs follow one another without end, and every iterator
    begins at the same place: the batches of a run that was stopped there.

    Args:
        coco: The data set; an image without people is all background.
        model: A `PoseEstimator`, which knows its input size, its colour of padding and
            the radius of its discs.
        batch_size: B.
        input_size: S, a multiple of 4; the model's by default.
        fill: `[3]`, RGB of what lies outside of an image; the model's mean colour by
            default.
        disc_radius: Of a person's disc, in cells; the model's by default.
        augment: How far images are moved and recoloured; as the paper does by default.
        max_people: M; of more people the largest are kept, the discs of the others
            are ignored.
        min_area: Of smaller people (in original pixels squared) the disc is ignored.
        seed: 0 or more.
        cache: "memory", "none" or a folder (see `ExampleLoader`).
        drop_remainder: Leave out the last, smaller batch.
        strict: Make an unreadable image an error (TensorFlow's own, while iterating).
        initial_epoch: The number of the first pass, to go on with an earlier run.
        initial_step: Batches of the first pass that are left out; None ends the data
            set with its epoch.
        shard: (index, count) of the workers that share each batch in equal parts; no
            image is read by two of them.
        pieces: Into which a worker's part of a batch is cut, one after another: one
            for each of its devices.
        on_batch: Called with the number of each batch, from 0, when it is ready.
        fixed_people: Pad every batch to `max_people`, for TPUs, instead of to its own
            largest number of people.

    Returns:
        Batches of `(images, facts)`: images `[B, S, S, 3]` float32 in 0..255;
        facts "keypoints" `[B, M, K, 3]` (x, y, v) in pixels of the crop, "area"
        `[B, M]` in the same pixels squared, 0 = no person, and "ignore"
        `[B, S/4, S/4, 1]`, 1 = ignored.

    Raises:
        ValueError: An argument is out of range, the data set is too small for a batch
            or has nobody to learn from, or the model's skeleton is not the data set's.
        OSError: The cache's folder cannot be written.

    Example:
        >>> batches = train_dataset(coco, model, batch_size=16)  # doctest: +SKIP
        >>> model.fit(batches, epochs=10)  # doctest: +SKIP
    """
    if model is not None:
        _check_skeleton(coco, model)
        input_size = model.input_size if input_size is None else input_size
        fill = model.mean if fill is None else fill
        if disc_radius is None:
            disc_radius = model.loss_settings.disc_radius
    if input_size is None or fill is None or disc_radius is None:
        raise ValueError("expected a model, or input_size, fill and disc_radius")
    augment = AugmentSettings() if augment is None else augment
    count = len(coco.records)
    _check_sizes(coco, input_size, batch_size if drop_remainder else 1)
    if seed < 0 or max_people < 1:
        raise ValueError(
            f"expected seed >= 0 and max_people >= 1, got {seed} and {max_people}"
        )
    coco.check_learnable(min_area, "min_area")
    _warn_of_crowded_images(coco, max_people, min_area)
    loader = ExampleLoader(
        coco, math.ceil(_KEPT_SHORT_SIDE * input_size), cache, strict
    )
    order = epoch_order(count, coco.parts, seed, initial_epoch)

    def moved(
        row: np.ndarray, draw: np.ndarray, view: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        return _moved_example(
            loader(int(row)),
            draw,
            view,
            augment=augment,
            flip_permutation=coco.skeleton.flip_permutation,
            input_size=input_size,
            max_people=max_people,
            min_area=min_area,
            disc_radius=disc_radius,
        )

    # No Python branch depends on a tensor; looking for one takes half of the tracing.
    @tf.autograph.experimental.do_not_convert
    def augmented(epoch_and_row: tf.Tensor) -> dict[str, tf.Tensor]:
        epoch, row = tf.unstack(epoch_and_row)
        random = tf.random.experimental
        seeds = random.stateless_fold_in(tf.constant([seed, 0], tf.int64), epoch)
        seeds = random.stateless_split(random.stateless_fold_in(seeds, row), 2)
        inputs = [row, crop_draw(seeds[0]), view_draw(seeds[0])]
        arrays = tf.numpy_function(moved, inputs, [kind for kind, _ in specs.values()])
        example = {
            name: tf.ensure_shape(array, shape)
            for array, (name, (_, shape)) in zip(arrays, specs.items(), strict=True)
        }
        example["colour"] = colour_factors(seeds[1], augment)
        return example

    @tf.function(jit_compile=True, autograph=False)
    def finish(pixels: tf.Tensor, colour: tf.Tensor, cover: tf.Tensor) -> tf.Tensor:
        factors = colour if augment.recolours else None
        return finished_pixels(pixels, factors, cover, fill)

    def finished(batch: dict[str, Any]) -> tuple[tf.Tensor, dict[str, Any]]:
        cover = covered(batch.pop("backwards"), batch.pop("image_hw"), input_size)
        # Compiled apart from `covered`: fused with it, this takes 4 times as long.
        images = finish(batch.pop("pixels"), batch.pop("colour"), cover)
        if not fixed_people:
            # The work of the encoding grows with M, and most images show few people.
            shown = tf.reduce_max(tf.reduce_sum(tf.cast(batch["area"] > 0, "int32"), 1))
            people = tf.maximum(shown, 1)
            for key in ("keypoints", "area"):
                batch[key] = batch[key][:, :people]
        return images, batch

    specs = _moved_specs(input_size, max_people, coco.skeleton.num_keypoints)
    dataset = ordered_rows(order, batch_size, initial_epoch, initial_step, shard)
    dataset = dataset.map(augmented, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(
        batch_size // shard[1] // pieces, drop_remainder=drop_remainder
    )
    dataset = dataset.map(finished, num_parallel_calls=tf.data.AUTOTUNE)
    if on_batch is not None:
        dataset = told(dataset, lambda number: on_batch(number // pieces))
    return deterministic(dataset.prefetch(tf.data.AUTOTUNE))


def _moved_specs(
    input_size: int, max_people: int, num_keypoints: int
) -> dict[str, tuple[tf.DType, list[int]]]:
    """Types and shapes of what `_moved_example` returns, by name."""
    cells = input_size // STRIDE
    return {
        "pixels": (tf.uint8, [3, input_size, input_size]),
        "backwards": (tf.float32, [2, 3]),
        "image_hw": (tf.float32, [2]),
        "keypoints": (tf.float32, [max_people, num_keypoints, 3]),
        "area": (tf.float32, [max_people]),
        "ignore": (tf.float32, [cells, cells, 1]),
    }


def _moved_example(
    example: Example,
    draw: np.ndarray,
    view_draw: np.ndarray,
    *,
    augment: AugmentSettings,
    flip_permutation: tuple[int, ...],
    input_size: int,
    max_people: int,
    min_area: float,
    disc_radius: float,
) -> tuple[np.ndarray, ...]:
    hw = example.image.shape[:2]
    large_enough = example.original_area >= min_area
    view = choose_view(view_draw, hw, example.keypoints[large_enough], augment)
    crop = random_crop(draw, view, input_size, augment)
    pixels = warp_image(example.image, crop, input_size)
    keypoints, area, discs = select_people(
        warp_keypoints(example.keypoints, crop, flip_permutation),
        warp_area(example.area, crop),
        large_enough,
        max_people,
        input_size // STRIDE,
        disc_radius,
    )
    ignore = warp_ignore(example.ignore, hw, crop, input_size) | discs
    if not example.everyone_labelled:
        kept = keypoints[area > 0]
        ignore |= unknown_background(kept, input_size // STRIDE, disc_radius)
    backwards, size = crop.backwards[:2].astype(np.float32), np.array(hw, np.float32)
    ignored = ignore[..., None].astype(np.float32)
    return pixels, backwards, size, keypoints, area, ignored


def _check_skeleton(coco: CocoDataset, model: TakesImages) -> None:
    ours, theirs = coco.skeleton, model.skeleton
    if ours.num_keypoints != theirs.num_keypoints:
        raise ValueError(
            f"{coco.path}: expected {theirs.num_keypoints} keypoints ({theirs.name}) "
            f"as the model has, got {ours.num_keypoints} ({ours.name}); make the model "
            "with skeleton=dataset.skeleton"
        )


def _check_sizes(coco: CocoDataset, input_size: int, at_least: int) -> None:
    if input_size < STRIDE or input_size % STRIDE:
        raise ValueError(f"expected an input_size divisible by 4, got {input_size}")
    if len(coco.records) < max(at_least, 1):
        raise ValueError(
            f"{coco.path}: expected images for a batch of {at_least}, "
            f"got {len(coco.records)}"
        )


def _warn_of_crowded_images(
    coco: CocoDataset, max_people: int, min_area: float
) -> None:
    people = np.array([(record.area >= min_area).sum() for record in coco.records])
    beyond = np.maximum(people - max_people, 0)
    if beyond.any():
        logger.warning(
            "%s: %d images show more than %d people; the smaller %d are ignored",
            *(coco.path, (beyond > 0).sum(), max_people, beyond.sum()),
        )
