"""The browser example in headless Chromium against Python on the same files."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qepose_tf.exporting import Exporter
from qepose_tf.images.decoding import read_image, resize_image
from qepose_tf.images.drawn_image import made_image
from qepose_tf.images.letterbox import fit_inside, original_points

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"
HEIGHT, WIDTH = 96, 128  # unlike each other, so that mixing them up shows

NODE = shutil.which("node")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
needs_node = pytest.mark.skipif(NODE is None, reason="needs node")


class Browser:
    """Chromium behind `drive.mjs`."""

    def __init__(self, process: subprocess.Popen):
        self._process = process

    def __call__(self, command: str, **given):
        self._process.stdin.write(json.dumps({"command": command, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "drive.mjs ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]


@pytest.fixture(scope="module")
def installed():
    if NODE is None or CHROMIUM is None:
        pytest.skip("needs node and chromium")
    if not (EXAMPLE / "node_modules" / "puppeteer-core").is_dir():
        pytest.skip("needs npm ci --prefix examples/browser")


@pytest.fixture(scope="module")
def model_file(installed, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "pose.tflite"
    with Exporter(model, height=HEIGHT, width=WIDTH) as exporter:
        exporter.write("tflite", path)
    return path


@pytest.fixture(scope="module")
def address(model_file):
    command = [sys.executable, EXAMPLE / "serve.py", model_file, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.fixture(scope="module")
def browser(installed):
    command = [NODE, EXAMPLE / "drive.mjs", CHROMIUM]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Browser(process)


@pytest.fixture
def page(browser, address):
    """The page with the model of its address loaded, which threw no error meanwhile."""
    assert browser("open", url=address)["text"].startswith("Ready")
    yield browser
    assert browser("faults") == []


def _python_poses(model_file: Path, picture: Path) -> dict[str, np.ndarray]:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    fill = json.loads(zipfile.ZipFile(model_file).read("pose.json"))["letterbox"][
        "fill"
    ]
    image = read_image(picture, exif=True)
    frame, scale = fit_inside(image, HEIGHT, WIDTH, fill)
    serve = litert.Interpreter(str(model_file)).get_signature_runner("serving_default")
    found = {name: values[0] for name, values in serve(images=frame[None]).items()}
    people = found["scores"] > 0
    assert people.sum() > 5
    return {
        "poses": original_points(found["poses"][people], scale),
        "scores": found["scores"][people],
        "keypointScores": found["keypoint_scores"][people],
        "cells": found["cells"][people],
    }


def _assert_same(found: dict, expected: dict[str, np.ndarray]) -> None:
    """Rows of the same cell agree, and all but a tie or two have one."""
    row = {tuple(cell): i for i, cell in enumerate(found["cells"])}
    both = [i for i, cell in enumerate(expected["cells"]) if tuple(cell) in row]
    assert len(both) >= 0.9 * max(len(expected["cells"]), len(found["cells"]))
    other = [row[tuple(expected["cells"][i])] for i in both]
    tolerances = {"poses": 1.0, "scores": 1e-3, "keypointScores": 1e-3}
    for name, tolerance in tolerances.items():
        actual = np.array(found[name])[other]
        np.testing.assert_allclose(actual, expected[name][both], rtol=0, atol=tolerance)


def _picture(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.png"
    if kind == "transparent":
        opaque = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
        opaque[20:60, 30:90] = 0
        pixels = np.concatenate([made_image(HEIGHT, WIDTH, 1), opaque], axis=-1)
    else:
        sizes = {"exact": (HEIGHT, WIDTH), "narrow": (HEIGHT, 71), "small": (40, 37)}
        pixels = made_image(*{**sizes, "large": (300, 211)}[kind], 1)
    Image.fromarray(pixels).save(path)
    return path


@needs_node
@pytest.mark.parametrize(
    "source, target",
    [
        ((48, 64), (48, 64)),
        ((97, 64), (31, 20)),
        ((301, 7), (64, 5)),
        ((13, 9), (64, 64)),
        ((50, 200), (60, 128)),
        ((5, 400), (1, 64)),
    ],
)
def test_the_resize_is_pillows(source, target):
    image = np.random.default_rng(0).integers(0, 256, (*source, 3)).astype(np.uint8)
    image[: source[0] // 2] = 255 * (image[: source[0] // 2] > 127)  # and full contrast
    module = (EXAMPLE / "js" / "resize.js").as_uri()
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ resizeRgb }} from "{module}";
        const pixels = new Uint8Array(readFileSync(0));
        process.stdout.write(resizeRgb(pixels, {source[0]}, {source[1]}, {target[0]},
          {target[1]}));
    """
    command = [NODE, "--input-type=module", "--eval", script]
    run = subprocess.run(command, input=image.tobytes(), stdout=-1, check=True)
    resized = np.frombuffer(run.stdout, np.uint8).reshape(*target, 3).astype(int)
    assert np.abs(resized - resize_image(image, *target)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["exact", "narrow", "small", "large", "transparent"])
def test_poses_are_those_of_python(page, model_file, tmp_path, kind):
    picture = _picture(kind, tmp_path)
    shown = page("choose", id="picture", file=str(picture))
    assert not shown["fault"], shown["text"]
    _assert_same(shown["found"], _python_poses(model_file, picture))


@pytest.mark.slow
def test_a_script_may_ask(page, model_file, tmp_path):
    picture = _picture("large", tmp_path)
    numbers = ",".join(map(str, picture.read_bytes()))
    found = page(
        "evaluate",
        script=f"createImageBitmap(new Blob([new Uint8Array([{numbers}])]))"
        ".then((bitmap) => window.qepose.detect(bitmap))",
    )
    _assert_same(found, _python_poses(model_file, picture))
    assert found["networkMs"] > 0


@pytest.mark.slow
def test_the_slider_says_who_is_drawn(page, tmp_path):
    shown = page("choose", id="picture", file=str(_picture("exact", tmp_path)))
    scores = shown["found"]["scores"]
    for threshold in (0, round(scores[3], 2), 1):
        page(
            "evaluate",
            script=f"threshold.value = {threshold};"
            "threshold.dispatchEvent(new Event('input'))",
        )
        people = page("evaluate", script="people.textContent")
        assert int(people) == sum(score >= threshold for score in scores)


@pytest.mark.slow
def test_a_picture_may_be_dropped(page):
    page(
        "evaluate",
        script="""(async () => {
            const canvas = new OffscreenCanvas(50, 30);
            canvas.getContext("2d").fillRect(0, 0, 9, 9);
            const files = new DataTransfer();
            files.items.add(new File([await canvas.convertToBlob()], "dropped.png"));
            const given = { dataTransfer: files, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent("drop", given));
        })()""",
    )
    page("wait", script="events.length === 1")
    assert page("evaluate", script="events[0].width") == 50


@pytest.mark.slow
def test_the_webcam_runs_and_stops(page):
    page("click", selector="#webcam")
    page("wait", script="events.length >= 3")
    assert page("evaluate", script="webcam.textContent") == "Stop the webcam"
    page("evaluate", script="window.before = canvas.toDataURL()")
    page("wait", script="canvas.toDataURL() !== before")
    page("click", selector="#webcam")
    frames = page("evaluate", script="events.length")
    page("evaluate", script="new Promise((done) => setTimeout(done, 700))")
    assert page("evaluate", script="events.length") == frames
    assert page("evaluate", script="webcam.textContent") == "Start the webcam"


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault, message",
    [
        ("no metadata", "has no pose.json"),
        ("cut off", "has no pose.json"),
        ("overwritten", "LiteRT.js cannot run this model"),
        ("text", "expected a TFLite file"),
    ],
)
def test_a_broken_model_is_one_line(page, model_file, tmp_path, fault, message):
    content = model_file.read_bytes()
    archive = content.rindex(b"PK\x03\x04")
    broken = {
        "no metadata": content[:archive],
        "cut off": content[: len(content) // 2],
        "overwritten": content[:8] + b"\xff" * (archive - 8) + content[archive:],
        "text": b"not a model" * 100,
    }[fault]
    (tmp_path / "broken.tflite").write_bytes(broken)
    shown = page("choose", id="model", file=str(tmp_path / "broken.tflite"))
    assert shown["fault"]
    assert shown["text"].startswith("broken.tflite: ")
    assert message in shown["text"]
    assert "\n" not in shown["text"]
    # The model before it is still there.
    after = page("choose", id="picture", file=str(_picture("exact", tmp_path)))
    assert not after["fault"]
    assert after["found"]["scores"]


@pytest.mark.slow
def test_what_is_no_picture_is_one_line(page, tmp_path):
    (tmp_path / "notes.png").write_text("no picture")
    shown = page("choose", id="picture", file=str(tmp_path / "notes.png"))
    assert shown["fault"]
    assert shown["text"].startswith("notes.png: expected a picture")


@pytest.mark.slow
def test_a_missing_model_is_one_line(browser, address):
    shown = browser("open", url=address.replace("/model/pose", "/nothing"))
    assert shown["fault"]
    assert (
        shown["text"] == "/nothing.tflite: expected a model file, got HTTP status 404"
    )


@pytest.mark.slow
def test_the_network_has_threads(page):
    assert page("evaluate", script="crossOriginIsolated")
    runs_on = page(
        "evaluate", script="document.getElementById('fact-threads').textContent"
    )
    assert runs_on == "CPU, several threads"
