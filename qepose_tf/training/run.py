"""Runs a training: from a config to a folder with checkpoints, models and logs."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from qepose_tf.building import started
from qepose_tf.config.reading import dump_config, load_config
from qepose_tf.config.schema import Config
from qepose_tf.data.coco.dataset import CocoDataset
from qepose_tf.files.whole_files import check_can_be_made
from qepose_tf.models.pose_model import PoseModel
from qepose_tf.skeleton import Skeleton
from qepose_tf.training.building import (
    compile_model,
    dtype_policy,
    frozen_layers,
    image_ids,
    initial_model,
    steps_per_epoch,
    train_batches,
)
from qepose_tf.training.callbacks.checkpoints import BeforeValidation, Checkpoints
from qepose_tf.training.callbacks.crop_pictures import TrainingPictures
from qepose_tf.training.callbacks.guards import (
    NonFinite,
    readable_op_errors,
    weights_are_finite,
)
from qepose_tf.training.callbacks.interrupt import Interrupt, Preempted, StopOnInterrupt
from qepose_tf.training.callbacks.run_log import CsvLog, LearningRate, TensorBoardLog
from qepose_tf.training.callbacks.throughput import Throughput
from qepose_tf.training.callbacks.validation import COLUMNS, CocoAP
from qepose_tf.training.callbacks.weights_copy import WeightsCopy
from qepose_tf.training.data_checks import checked_datasets
from qepose_tf.training.devices.strategy import make_strategy
from qepose_tf.training.devices.workers import Agreement, distributed
from qepose_tf.training.fitting import StepCount, fit
from qepose_tf.training.run_folder import folder as run_folder
from qepose_tf.training.run_folder.folder import RunFolder, open_run_folder
from qepose_tf.training.run_folder.resume import restore
from qepose_tf.training.run_folder.state import RunState
from qepose_tf.training.run_folder.summary import (
    write_environment,
    write_summary,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """The result of a finished run.

    Attributes:
        run_dir: The folder with config.yaml, log.csv, tensorboard and checkpoints.
        best: The file of the model with the best AP; None without validation.
        last: The file of the model at the end of training.
        history: The values of each log, one for each epoch that has the log.
        metrics: The logs of the best epoch (`val_ap`, ...); empty without validation.
    """

    run_dir: Path
    best: Path | None
    last: Path
    history: dict[str, list[float]]
    metrics: dict[str, float]

    @property
    def model(self) -> Path:
        """The file of the best model, or of the last one if there is no best."""
        return self.best or self.last


def train(
    config: Config | str | Path,
    changes: Mapping[str, Any] | None = None,
    *,
    progress: bool | None = None,
    overwrite: bool = False,
    resume: bool = False,
    allowed: Sequence[str] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainResult:
    """Trains a `PoseEstimator` according to a config.

    A stopped run of the same config is continued from its last checkpoint. Ctrl-C stops
    after the current step, writes a checkpoint and `last.keras`, and raises
    KeyboardInterrupt; a second Ctrl-C stops at once.

    Args:
        config: A config or the path of a YAML file. If its run folder holds another
            run, a number is added to the name of the folder.
        changes: Values that replace those of the file, by dotted key:
            `{"train.epochs": 3}`.
        progress: True shows Keras' progress bar, False shows nothing. By default the
            bar is shown on a terminal, and a line for each epoch elsewhere.
        overwrite: Whether an earlier run in the folder is removed.
        resume: Whether only the folder of the config may be used, to continue the run
            there or to start it.
        allowed: The config keys that may differ from those of the continued run.
        callbacks: Further callbacks, called after those of the run. `fit` is called
            again, with its `on_train_begin`, after an epoch that was interrupted and
            after the frozen epochs.

    Returns:
        The folder, the models and the metrics of the run.

    Raises:
        ValueError: The config contradicts itself, its data or this machine, or the
            loss is no longer finite (the message names the step).
        OSError: A file is missing, or the run's folder cannot be written.
        Preempted: SIGTERM has arrived; the checkpoint is written.

    Example:
        >>> run = train("my.yaml", {"train.epochs": 3})  # doctest: +SKIP
        >>> run.metrics["val_ap"]  # doctest: +SKIP
        0.61
    """
    if not isinstance(config, Config):
        config = load_config(config, changes or {})
    elif changes:
        raise ValueError(
            "changes: expected the path of a config with them, got a Config; change "
            "the Config itself, or pass the path of its file"
        )
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    # Several workers must be connected before TensorFlow is used.
    strategy = make_strategy(config.train.strategy, config.train.num_gpus)
    workers = Agreement(strategy)
    config = started(config)
    check_can_be_made(config.run_dir)
    # The data are checked before an earlier run is removed or a folder is made.
    skeleton = Skeleton.load(config.skeleton, config.data.categories)
    data = checked_datasets(config, skeleton)
    folder = RunFolder(config.run_dir, resumed=True)
    if workers.chief:
        folder = open_run_folder(
            config,
            overwrite=overwrite,
            resume=resume,
            allowed=allowed,
            numbered=not workers.several,
        )
    try:
        return _train(
            config, skeleton, data, folder, strategy, workers, progress, callbacks
        )
    finally:
        folder.close()


def _train(
    config: Config,
    skeleton: Skeleton,
    data: tuple[CocoDataset, CocoDataset | None],
    folder: RunFolder,
    strategy: tf.distribute.Strategy,
    workers: Agreement,
    progress: bool | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> TrainResult:
    steps = steps_per_epoch(config, data[0], strategy.num_replicas_in_sync)
    keras.utils.set_random_seed(config.seed)
    with dtype_policy(config.train.precision), Interrupt() as interrupt:
        with strategy.scope():
            model = initial_model(config, skeleton)
            compile_model(model, config, steps)
            state, tensors = RunState(steps), {}
            if folder.resumed or workers.several:
                state, tensors = restore(model, folder.path, steps, workers)
        if workers.chief:
            dump_config(config, folder.path / run_folder.CONFIG)
            write_environment(folder.path, config, state)
        logger.info(
            "training %s on %d images, %d steps per epoch, in %s",
            *(config.name, len(data[0].records), steps, folder.path),
        )
        written = folder.path if workers.chief else None
        checkpoints = Checkpoints(
            written,
            state,
            WeightsCopy(model),
            config.train.checkpoint_steps,
            config.train.keep_checkpoints,
        )
        chain, batches = _chain(
            config,
            data,
            model,
            checkpoints,
            StepCount(state, tensors),
            interrupt,
            workers,
        )
        try:
            with readable_op_errors(workers.several):
                fit(
                    model,
                    state,
                    [*chain, *callbacks],
                    distributed(strategy, batches),
                    epochs=config.train.epochs,
                    frozen_epochs=config.train.freeze_backbone_epochs,
                    frozen_layers=frozen_layers(model, config),
                    verbose=_verbosity(progress),
                )
        except (KeyboardInterrupt, Preempted) as stop:
            _save_stopped(model, checkpoints, isinstance(stop, KeyboardInterrupt))
            raise
        finally:
            for callback in chain:
                if isinstance(callback, TensorBoardLog):
                    callback.close()
    checkpoints.save_last()
    if workers.chief:
        write_summary(folder.path, config, state)
    best = folder.path / run_folder.BEST
    return TrainResult(
        run_dir=folder.path,
        best=best if state.best_logs else None,
        last=folder.path / run_folder.LAST,
        history=state.by_name(),
        metrics={k: v for k, v in state.best_logs.items() if k in COLUMNS},
    )


def _chain(
    config: Config,
    data: tuple[CocoDataset, CocoDataset | None],
    model: PoseModel,
    checkpoints: Checkpoints,
    count: StepCount,
    interrupt: Interrupt,
    workers: Agreement,
) -> tuple[list[keras.callbacks.Callback], Callable[..., tf.data.Dataset]]:
    """Returns the callbacks of the run, and its batches, which one of them times."""
    train_data, val_data = data
    settings, state, folder = config.train, checkpoints.state, checkpoints.folder
    throughput = Throughput(state, settings.batch_size)
    images = image_ids(config, train_data)
    skip = settings.non_finite == "skip"
    # The order matters: checks that stop the run come before saving, and the validation
    # comes before the callbacks that use its metrics.
    chain: list[keras.callbacks.Callback] = [
        count,
        NonFinite(state, settings.epochs, images, skip),
        throughput,
        StopOnInterrupt(interrupt, workers.largest),
    ]
    validation = None
    if val_data:
        chain.append(BeforeValidation(checkpoints, settings.validate_every))
    if val_data and folder:
        validation = CocoAP(
            val_data,
            settings.validate_every,
            batch_size=min(settings.batch_size, 16),
            copy=checkpoints.copy,
            check=interrupt.check,
        )
        chain.append(validation)
    chain += [LearningRate(), checkpoints]
    if folder:
        columns = COLUMNS if validation else ()
        chain.append(CsvLog(folder / run_folder.LOG, state, columns))
        crops = TrainingPictures(
            checkpoints.copy.updated,
            lambda: train_batches(config, train_data, model)(0, 0),
        )
        board = TensorBoardLog(
            folder / run_folder.TENSORBOARD,
            validation,
            histograms=settings.histograms,
            crops=crops,
            every=settings.validate_every,
        )
        chain.append(board)
    return chain, train_batches(config, train_data, model, throughput.batch_is_ready)


def _save_stopped(model: PoseModel, checkpoints: Checkpoints, with_model: bool) -> None:
    state = checkpoints.state
    where = f"epoch {state.epoch + 1}, step {state.step} of {state.steps_per_epoch}"
    if not weights_are_finite(model):
        logger.warning(
            "stopped in %s; not saved, because weights are NaN or infinite", where
        )
        return
    checkpoints.save()
    if with_model:
        checkpoints.save_last()
    logger.warning("stopped in %s; the same command continues from there", where)


def _verbosity(progress: bool | None) -> int:
    if progress is None:
        return 1 if sys.stdout.isatty() else 2
    return int(progress)
