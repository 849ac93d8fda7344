"""`qepose train` and `qepose import-weights`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from qepose_tf.cli.options import Json, Limit, Overrides, check_outputs
from qepose_tf.cli.terminal import STDOUT, show_report


def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A YAML file, see configs/.")
    ],
    overrides: Overrides = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run of this name.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue the run in its folder, or start it there."
        ),
    ] = False,
    allow_change: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-change",
            metavar="KEY",
            help="Config key that --resume lets differ.",
        ),
    ] = None,
    limit: Limit = None,
    json_file: Json = None,
) -> None:
    """Train a model as a config says.

    A value of the config is replaced by KEY=VALUE, for example train.epochs=3. A run
    of the same config that was stopped is continued. Exit code 75 means that SIGTERM
    stopped the run after a checkpoint, and that the same command continues it.
    """
    from qepose_tf.config.changes import limited
    from qepose_tf.config.reading import load_config

    if resume and overwrite:
        raise typer.BadParameter("expected --resume or --overwrite, got both")
    if allow_change and not resume:
        raise typer.BadParameter("expected --resume with --allow-change")
    resolved = load_config(config, overrides or ())
    if limit is not None:
        resolved = limited(resolved, limit)
    check_outputs(json_file)
    from qepose_tf.training import run

    # Keras prints its progress on stdout, where nothing but JSON may stand.
    progress = False if json_file == STDOUT else None
    result = run.train(
        resolved,
        overwrite=overwrite,
        resume=resume,
        allowed=allow_change or (),
        progress=progress,
    )
    report = {
        "model": str(result.model),
        "run_dir": str(result.run_dir),
        "last": str(result.last),
        **result.metrics,
    }
    show_report(report, json_file)


def import_weights(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="A PyTorch file, .pth or .safetensors."
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="File to write, see above.")
    ],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML with the backbone's name.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Convert a PyTorch checkpoint to a model or weights.

    Where FILE ends in .keras, the checkpoint is one of DEKR (HRNet/DEKR or mmpose,
    COCO or CrowdPose), and FILE becomes a whole model. Where it ends in .weights.h5,
    FILE gets the weights of the backbone that --config names.
    """
    report = _imported(checkpoint, out, config, json_file)
    unused = {group: len(names) for group, names in report.unused.items()}
    show_report(
        {**report.to_dict(), "out": str(out)},
        json_file,
        unused=", ".join(f"{group} {count}" for group, count in unused.items()),
        kept_at_initial=f"{len(report.kept_at_initial)} tensors",
    )


def _imported(
    checkpoint: Path, out: Path, config: Path | None, json_file: Path | None
) -> Any:
    if out.suffix == ".keras":
        if config is not None:
            raise typer.BadParameter(
                f"{out}: a whole model needs no --config; name a file that ends in "
                ".weights.h5 for the weights of a backbone"
            )
        check_outputs(out, json_file)
        from qepose_tf.weights import import_dekr

        return import_dekr(checkpoint, out)[1]
    if config is None:
        raise typer.BadParameter(
            f"{out}: expected a name that ends in .keras for a whole model, or "
            "--config for the weights of a backbone"
        )
    from qepose_tf.config.reading import load_config

    resolved = load_config(config)
    check_outputs(out, json_file)
    from qepose_tf.building import build_model
    from qepose_tf.skeleton import Skeleton
    from qepose_tf.weights import import_weights as run

    model = build_model(
        resolved, Skeleton.load(resolved.skeleton, resolved.data.categories)
    )
    return run(checkpoint, model, out)
