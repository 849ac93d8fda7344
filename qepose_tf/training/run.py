"""A training run, from a config to a folder with its checkpoints and logs."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from qepose_tf.config import Config, dump_config
from qepose_tf.data.augment import AugmentSettings
from qepose_tf.data.coco import CocoDataset
from qepose_tf.data.pipeline import train_dataset
from qepose_tf.models.pose_estimator import PoseEstimator
from qepose_tf.skeleton import Skeleton
from qepose_tf.training import run_folder
from qepose_tf.training.checkpoints import Checkpoints
from qepose_tf.training.data_sources import read_datasets
from qepose_tf.training.guards import (
    Interrupt,
    NonFiniteLoss,
    StopOnInterrupt,
    readable_op_errors,
    weights_are_finite,
)
from qepose_tf.training.resume import (
    best_row,
    open_stopped_run,
    restore,
    restored_log,
)
from qepose_tf.training.run_log import CsvLog, LearningRate, TensorBoardLog
from qepose_tf.training.schedule import WarmupStepDecay
from qepose_tf.training.strategy import make_strategy
from qepose_tf.training.validation import COLUMNS, CocoValidation
from qepose_tf.weights import load_backbone_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a finished run left.

    Attributes:
        run_dir: the folder with config.yaml, log.csv, tensorboard and checkpoints.
        best: the model of the best AP; None where nothing was validated.
        last: the model as training ended.
        history: the logs by name, one value per epoch that has it.
        metrics: the logs of the best epoch (`val_ap`, ...); empty without validation.
    """

    run_dir: Path
    best: Path | None
    last: Path
    history: dict[str, list[float]]
    metrics: dict[str, float]

    @property
    def model(self) -> Path:
        """The best model, or the last one where there is no best."""
        return self.best or self.last


def train(
    config: Config,
    *,
    progress: bool | None = None,
    overwrite: bool = False,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainResult:
    """Trains a `PoseEstimator` as the config says.

    Ctrl-C stops after the current step, saves `last.keras` and raises
    KeyboardInterrupt; a second one stops at once.

    Args:
        config: of the run; its folder is numbered if it holds an earlier run.
        progress: True shows Keras' bar, False nothing; by default the bar on a
            terminal and a line per epoch elsewhere.
        overwrite: remove an earlier run from the folder instead of numbering it.
        resume: go on with the stopped run in the config's folder, from the epoch
            that it did not finish.
        callbacks: more of them, called after the run's own.

    Raises:
        ValueError: The config contradicts itself, its data or this machine; or the
            loss is no longer finite (the message names the step).
        OSError: A file is missing, or the run's folder cannot be written.
    """
    if resume:
        run_dir = open_stopped_run(config)
    else:
        run_dir = run_folder.open_run_folder(config.run_dir, overwrite)
    skeleton = Skeleton.load(config.skeleton)
    train_data, val_data = read_datasets(config, skeleton)
    if val_data is None:
        logger.warning("no validation data (data.val): no AP, no best.keras")
    strategy = make_strategy(config.train.strategy, config.train.num_gpus)
    steps = steps_per_epoch(config, train_data, strategy.num_replicas_in_sync)
    keras.utils.set_random_seed(config.seed)
    with _dtype_policy(config.train.precision), Interrupt() as interrupt:
        with strategy.scope():
            make = build_model if resume else initial_model
            model = make(config, skeleton)
            compile_model(model, config, steps)
            epoch = restore(model, run_dir, steps) if resume else 0
        dataset = _train_pipeline(config, train_data, model, epoch)
        checkpoints = Checkpoints(run_dir)
        if resume:
            rows = restored_log(run_dir, epoch)
            checkpoints.go_on_from(best_row(run_dir, rows, checkpoints.monitor))
        validation = val_data and CocoValidation(
            val_data,
            config.train.validate_every,
            batch_size=min(config.train.batch_size, 16),
            check=interrupt.check,
        )
        table = CsvLog(run_dir / run_folder.LOG, COLUMNS if validation else ())
        board = TensorBoardLog(run_dir / run_folder.TENSORBOARD, validation)
        # In this order: stop before saving, validate before reading the figures.
        chain = [
            NonFiniteLoss(),
            StopOnInterrupt(interrupt),
            *([validation] if validation else []),
            checkpoints,
            LearningRate(),
            table,
            board,
            *callbacks,
        ]
        dump_config(config, run_dir / run_folder.CONFIG)
        logger.info(
            "training %s on %d images, %d steps per epoch, in %s",
            config.name,
            len(train_data.records),
            steps,
            run_dir,
        )
        try:
            with readable_op_errors():
                history = model.fit(
                    dataset,
                    initial_epoch=epoch,
                    epochs=config.train.epochs,
                    callbacks=chain,
                    verbose=_verbosity(progress),
                    shuffle=False,  # the dataset has its own order
                )
        except KeyboardInterrupt:
            _save_interrupted(model, checkpoints)
            raise
        finally:
            table.close()
            board.close()
    return TrainResult(
        run_dir=run_dir,
        best=checkpoints.best,
        last=checkpoints.last,
        history=history.history,
        metrics={k: v for k, v in checkpoints.best_logs.items() if k in COLUMNS},
    )


def build_model(config: Config, skeleton: Skeleton) -> PoseEstimator:
    """The model of a config, with fresh weights."""
    return PoseEstimator(skeleton, **model_settings(config))


def model_settings(config: Config) -> dict[str, Any]:
    """The arguments of `PoseEstimator` that a config decides, but for the skeleton."""
    settings = config.model.model_dump(exclude={"backbone_weights"})
    return settings | config.loss.model_dump()


def initial_model(config: Config, skeleton: Skeleton) -> PoseEstimator:
    """The model that training begins with: its body may come from a file.

    Raises:
        OSError: `model.backbone_weights` cannot be read.
        ValueError: they are not those of this backbone.
    """
    model = build_model(config, skeleton)
    if config.model.backbone_weights is not None:
        load_backbone_weights(model, config.model.backbone_weights)
    return model


def compile_model(model: PoseEstimator, config: Config, steps_per_epoch: int) -> None:
    """Compiles a model with the config's optimiser; call it in the strategy's scope."""
    settings = config.train
    schedule = WarmupStepDecay(
        settings.learning_rate,
        steps_per_epoch,
        settings.drop_epochs,
        settings.drop_factor,
        settings.warmup_steps,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(
            schedule, global_clipnorm=settings.gradient_clip_norm
        ),
        steps_per_execution=settings.steps_per_execution,
        # XLA does not compile for virtual CPU devices.
        jit_compile=False,
    )


def steps_per_epoch(config: Config, data: CocoDataset, replicas: int) -> int:
    """Full batches in the data, after a check that they fit it and the devices."""
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
    if replicas > 1 and config.train.gradient_clip_norm is not None:
        raise ValueError(
            "train.gradient_clip_norm: expected none on several devices (Keras clips "
            f"before it sums their gradients), got {config.train.gradient_clip_norm}"
        )
    return images // batch_size


def _train_pipeline(
    config: Config, data: CocoDataset, model: PoseEstimator, initial_epoch: int
) -> tf.data.Dataset:
    return train_dataset(
        data,
        input_size=config.model.input_size,
        batch_size=config.train.batch_size,
        mean=model.mean,
        std=model.std,
        augment=AugmentSettings(**config.augment.model_dump()),
        max_people=config.data.max_people,
        min_area=config.data.min_area,
        disc_radius=config.loss.disc_radius,
        seed=config.seed,
        cache=config.data.cache,
        strict=config.data.strict,
        initial_epoch=initial_epoch,
        fixed_people=config.train.strategy == "tpu",
    )


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras' global policy and puts the former one back."""
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)


def _save_interrupted(model: PoseEstimator, checkpoints: Checkpoints) -> None:
    if weights_are_finite(model):
        logger.warning("interrupted; the model is in %s", checkpoints.save_last())
    else:
        logger.warning("interrupted; not saved: weights are NaN or infinite")


def _verbosity(progress: bool | None) -> int:
    if progress is None:
        return 1 if sys.stdout.isatty() else 2
    return int(progress)
