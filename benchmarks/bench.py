"""Every benchmark that this machine can run, and one table of what was asked for.

    python benchmarks/bench.py [--coco DIR] [--out DIR] [--only NAME ...]
                               [--document FILE]

An untrained W32 at 512 is settled on real images, saved and exported once; then each
benchmark runs as a command of its own, one at a time. What they print is collected in
OUT/results.md, their figures in OUT/NAME.json; a benchmark that fails is named at the
end, and the others go on. With --document the results replace what stands between the
marks `<!-- bench: begin -->` and `<!-- bench: end -->` of that file.
"""

import argparse
import datetime
import json
import subprocess
import sys
import time
from pathlib import Path

from inference_targets import inference_targets
from qepose_tf.benchmark.report import (
    Target,
    processor,
    target_table,
    write_between_marks,
)
from qepose_tf.files.whole_files import writable_folder, write_file

HERE = Path(__file__).parent
ROOT = HERE.parent
CONFIG = ROOT / "configs/coco_w32_512.yaml"
QEPOSE = [sys.executable, "-c", "import sys, qepose_tf.cli as c; sys.exit(c.main())"]
TITLES = {
    "inference": "Stages, runtimes and peers, W32 at 512",
    "scaling": "People, pixels, batch, N and K",
    "training": "Training steps, sparse and dense",
    "input_pipeline": "Input pipeline",
    "evaluation": "Evaluation in batches",
    "startup": "Start-up",
}


def commands(out: Path, coco: Path) -> dict[str, list]:
    """The words of every benchmark, without `--json`."""
    python, model, images = [sys.executable], out / "w32.keras", coco / "images"
    annotations = coco / "annotations/person_keypoints_val2017.json"
    inference = [*QEPOSE, "benchmark", model, "--images", images / "val2017"]
    inference += ["--files", out / "files", "--runtime", "all", "--peer", "torch"]
    evaluation = [*python, HERE / "evaluation.py", out / "tiny.keras"]
    evaluation += ["--annotations", annotations, "--images", images / "val2017"]
    served = ["--saved-model", out / "files/saved_model/1"]
    return {
        "inference": inference,
        "scaling": [*python, HERE / "scaling.py"],
        "training": [*python, HERE / "training.py"],
        "input_pipeline": [*python, HERE / "input_pipeline.py", "--coco", coco],
        "evaluation": evaluation,
        "startup": [*python, HERE / "startup.py", model, *served],
    }


def prepare(out: Path, coco: Path) -> None:
    """Writes the models and the exported files that are not there yet."""
    photos, program = coco / "images/val2017", HERE / "settle.py"
    for name, words in {
        "w32": (),
        "tiny": ("--backbone", "tiny", "--size", 128),
    }.items():
        file = out / f"{name}.keras"
        if not file.exists():
            checked([sys.executable, program, CONFIG, photos, file, *words])
    if not (out / "files").exists():
        words = [*QEPOSE, "export", out / "w32.keras", "--format", "all"]
        checked([*words, "--calibrate", photos, "--out", out / "files"])


def checked(words: list) -> str:
    """What a command printed; a `CalledProcessError` where it failed."""
    words = [str(word) for word in words]
    print("$", " ".join(words), file=sys.stderr, flush=True)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Runs them, prints the table; exit code 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--coco", type=Path, default=ROOT.parent / "shared/coco")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/bench")
    parser.add_argument("--only", nargs="+", choices=TITLES, metavar="NAME")
    parser.add_argument("--document", type=Path, help="with marks, for the results")
    options = parser.parse_args()
    if not (options.coco / "images/val2017").is_dir():
        sys.exit(f"{options.coco}: expected images/val2017, as COCO has it (--coco)")
    out, started = writable_folder(options.out), time.monotonic()
    prepare(out, options.coco)
    texts, failed = [], []
    for name, words in commands(out, options.coco).items():
        if options.only and name not in options.only:
            continue
        file = out / f"{name}.json"
        try:
            printed = checked([*words, "--json", file])
        except subprocess.CalledProcessError as error:
            failed.append(f"{name} (exit code {error.returncode})")
            continue
        texts.append(f"### {TITLES[name]}\n\n{printed.strip()}")
    targets = [target for name in TITLES for target in found(out / f"{name}.json")]
    minutes = (time.monotonic() - started) / 60
    head = (
        f"`make bench`: {processor()}, {datetime.date.today()}, {minutes:.0f} minutes."
    )
    text = "\n\n".join([head, target_table(targets), *texts])
    text = text.replace(f"{ROOT}/", "")  # of other machines' readers
    write_file(out / "results.md", text + "\n")
    if options.document:
        write_between_marks(options.document, "bench", text)
    print(text)
    if failed:
        sys.exit(f"failed, see above: {', '.join(failed)}")


def found(file: Path) -> list[Target]:
    """The targets of a benchmark; none where it was not run."""
    if not file.exists():
        return []
    content = json.loads(file.read_text("utf-8"))
    names = ("name", "value", "target", "better")
    targets = [Target(*map(target.get, names)) for target in content["targets"]]
    if file.stem == "inference":
        targets += inference_targets(content["rows"])
    return targets


if __name__ == "__main__":
    main()
