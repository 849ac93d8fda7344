"""Builds the model, the optimiser and the batches of a run from its config."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

import keras
import tensorflow as tf

from qepose_tf.building import new_model, start_of
from qepose_tf.config.schema import Config
from qepose_tf.data.batches.crop import AugmentSettings
from qepose_tf.data.batches.epoch_order import epoch_order
from qepose_tf.data.batches.training import train_dataset
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.models.bodies import layers_up_to
from qepose_tf.models.pose_model import PoseModel
from qepose_tf.models.transfer import transfer
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.devices.keras_mends import leave_out_symbolic_build
from qepose_tf.training.optimizer import adapt_optimizer, make_optimizer, make_schedule
from qepose_tf.training.step import TrainStep
from qepose_tf.weights import load_backbone_weights

logger = logging.getLogger(__name__)


def initial_model(config: Config, skeleton: Skeleton) -> PoseModel:
    """Builds the model of a run, with initial weights or weights from a file.

    Args:
        config: The config of the run, as `started` returns it.
        skeleton: The keypoints.

    Raises:
        OSError: `model.backbone_weights` or `model.start_from` cannot be read.
        ValueError: The weights do not belong to this backbone.
    """
    model = new_model(config, skeleton)
    if config.model.backbone_weights is not None:
        load_backbone_weights(model, config.model.backbone_weights)
    if config.model.start_from is not None:
        _take_start(config, model)
    for layer in frozen_layers(model, config):
        layer.trainable = False
    return model


def _take_start(config: Config, model: PoseModel) -> None:
    """Copies the weights of `model.start_from` that the new model can use."""
    place = config.model.start_from
    try:
        report = transfer(start_of(config), model)
    except ValueError as error:
        raise ValueError(f"model.start_from: {place}: {error}") from None
    logger.info("starting from %s: %s", place, report)


def frozen_layers(model: PoseModel, config: Config) -> list[keras.Layer]:
    """Returns the layers of the body whose weights never change in this run."""
    stride = config.train.freeze_to_stride
    return layers_up_to(model.body, stride) if stride else []


def compile_model(model: PoseModel, config: Config, steps_per_epoch: int) -> None:
    """Compiles a model with the optimiser of a config, in the scope of the strategy."""
    settings = config.train
    schedule = make_schedule(
        name=settings.schedule,
        learning_rate=settings.learning_rate,
        steps_per_epoch=steps_per_epoch,
        epochs=settings.epochs,
        drop_epochs=settings.drop_epochs,
        drop_factor=settings.drop_factor,
        warmup_steps=settings.warmup_steps,
    )
    optimizer = make_optimizer(
        name=settings.optimizer,
        schedule=schedule,
        weight_decay=settings.weight_decay,
        clip_norm=settings.gradient_clip_norm,
        ema_momentum=settings.ema_momentum,
        # With mixed_float16 Keras adds the loss scaling itself.
        skip_non_finite=settings.non_finite == "skip"
        and settings.precision != "mixed_float16",
    )
    adapt_optimizer(optimizer, model, settings.backbone_rate_factor)
    model.compile(
        optimizer=optimizer,
        steps_per_execution=settings.steps_per_execution,
        # XLA does not support virtual CPU devices.
        jit_compile=False,
    )
    leave_out_symbolic_build(model)
    model.train_step = TrainStep(model, settings.accumulate)


def steps_per_epoch(config: Config, data: CocoDataset, replicas: int) -> int:
    """Returns the number of full batches in the data.

    Raises:
        ValueError: The batch size does not fit the data or the devices.
    """
    batch_size, images = config.train.batch_size, len(data.records)
    if batch_size > images:
        raise ValueError(
            f"train.batch_size: expected at most the {images} training images of "
            f"{data.path}, got {batch_size}"
        )
    if batch_size % replicas:
        raise ValueError(
            f"train.batch_size: expected a multiple of the {replicas} devices, "
            f"got {batch_size}"
        )
    if batch_size // replicas % config.train.accumulate:
        raise ValueError(
            f"train.accumulate: expected a divisor of the {batch_size // replicas} "
            f"images of a device, got {config.train.accumulate}"
        )
    return images // batch_size


def train_batches(
    config: Config,
    data: CocoDataset,
    model: PoseModel,
    on_batch: Callable[[int], None] | None = None,
) -> Callable[..., tf.data.Dataset]:
    """Returns a function that makes an endless data set from a given step on.

    Args:
        config: The config of the run.
        data: The training data.
        model: The model, whose mean colour fills the area outside of an image.
        on_batch: Called with the number of each batch when the batch is ready.

    Returns:
        A function of `(epoch, step, shard, pieces)`, see `train_dataset`.
    """

    def batches(
        epoch: int, step: int, shard: tuple[int, int] = (0, 1), pieces: int = 1
    ) -> tf.data.Dataset:
        return train_dataset(
            data,
            input_size=model.input_size,
            batch_size=config.train.batch_size,
            fill=model.mean,
            augment=AugmentSettings(**config.augment.model_dump()),
            max_people=config.data.max_people,
            min_area=config.data.min_area,
            disc_radius=model.loss_settings.disc_radius,
            seed=config.seed,
            cache=config.data.cache,
            strict=config.data.strict,
            initial_epoch=epoch,
            initial_step=step,
            shard=shard,
            pieces=pieces,
            on_batch=on_batch,
            fixed_people=config.train.strategy == "tpu",
        )

    return batches


def image_ids(config: Config, data: CocoDataset) -> Callable[[int, int], list[int]]:
    """Returns a function of `(epoch, step)`, from 0, to the image ids of the step."""
    order = epoch_order(len(data.records), data.parts, config.seed)

    def of_step(epoch: int, step: int) -> list[int]:
        rows = order.batch(epoch, step, config.train.batch_size)
        return [data.records[row].image_id for row in rows]

    return of_step


@contextmanager
def dtype_policy(name: str) -> Generator[None, None, None]:
    """A context in which Keras' global dtype policy is `name`."""
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)
