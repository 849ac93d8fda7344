"""`qepose doctor`, from the command line to the page."""

import html.parser
import json

import numpy as np
import pytest
from PIL import Image

from qepose_tf.cli import main
from qepose_tf.data.synthetic.dataset import write_scenes
from tests.cli.test_cli import fails
from tests.data.coco_files import image, person, write_images, write_json

LEFT, RIGHT = 7, 8  # elbows


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A config of 60 scenes and 20 others, with one mistake of each kind."""
    folder = tmp_path_factory.mktemp("planted")
    write_scenes(folder / "train", 60, 96, max_people=2, min_height=0.6, seed=4)
    write_scenes(folder / "val", 20, 96, max_people=2, min_height=0.6, seed=5)
    path = folder / "train/annotations.json"
    content = json.loads(path.read_text())
    people = content["annotations"]
    whole = [p for p in people if p["num_keypoints"] == 17 and p["area"] > 500]
    far = np.reshape(whole[0]["keypoints"], (-1, 3))
    far[LEFT, :2] = 95 - far[LEFT, :2] // 48 * 95
    whole[0]["keypoints"] = far.ravel().tolist()
    people.append({**whole[1], "id": 1000, "keypoints": whole[1]["keypoints"][:]})
    people[-1]["keypoints"][0] += 1
    path.write_text(json.dumps(content))
    cut = folder / "val/images/000001.jpg"
    cut.write_bytes(cut.read_bytes()[:2000])
    twin = Image.open(folder / "train/images/000007.jpg")
    twin.save(folder / "val/images/000002.jpg", quality=60)
    config = folder / "my.yaml"
    config.write_text(
        f"model: {{input_size: 128}}\ntrain: {{batch_size: 8}}\ndata:\n"
        f"  root: {folder}\n  min_area: 100.0\n"
        "  train: {annotations: train/annotations.json, images: train/images}\n"
        "  val: {annotations: val/annotations.json, images: val/images}\n"
    )
    return config, whole


class Page(html.parser.HTMLParser):
    """The tags of a page, and where each attribute leads."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.leads, self.pictures, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.leads += [v for k, v in attrs if k in ("src", "href", "srcset")]
        if tag == "img":
            self.pictures.append(values["src"])
        elif tag not in ("meta", "line", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_config_with_mistakes(planted, tmp_path, capsys):
    config, whole = planted
    page, values = tmp_path / "page.html", tmp_path / "doctor.json"
    words = ["doctor", config, "--html", page, "--json", values]
    assert main(list(map(str, words))) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Ready to train; ")
    report = json.loads(values.read_text())
    train, val = report["data_sets"]
    assert (train["pictures"], val["pictures"]) == (60, 20)
    name = {a: f"{whole[a]['image_id']:06d}.jpg" for a in (0, 1)}
    found = train["findings"]
    for kind, file in (
        ("impossible_limb", name[0]),
        ("doubled_person", name[1]),
        ("near_duplicate", "000007.jpg"),
    ):
        assert any(f["file"].endswith(file) for f in found[kind]), kind
    assert len(found["doubled_person"]) == len(found["near_duplicate"]) == 1
    assert "17 keypoints of two annotations" in found["doubled_person"][0]["why"]
    assert len(val["unreadable"]) == 1 and "000001.jpg" in val["unreadable"][0]
    assert "000001.jpg" in shown
    assert "not looked for (--model people)" in shown
    check_page(page.read_text("utf-8"), report)


def check_page(text, report):
    """Everything stands inside of the page, and each finding has its picture."""
    page = Page(text)
    assert page.open == [] and "script" not in page.tags and "link" not in page.tags
    assert all(lead.startswith(("data:image/jpeg;base64,", "#")) for lead in page.leads)
    assert "url(" not in text and "@import" not in text
    assert '<meta name="viewport"' in text and "prefers-color-scheme: dark" in text
    findings = [
        f
        for d in report["data_sets"]
        for kind in d["findings"].items()
        for f in [kind] * len(kind[1])
    ]
    twins = sum(kind == "near_duplicate" for kind, _ in findings)
    assert len(page.pictures) == len(findings) + twins > 3
    assert page.tags.count("circle") == 17


def would_fail(capsys, *words):
    """Shows the tables, and why training would fail in the last line on stderr."""
    assert main([str(word) for word in words]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("Training would fail.\n")
    return shown.err.splitlines()[-1]


def test_json_on_stdout_stands_alone(planted, capsys):
    assert main(["doctor", str(planted[0]), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["input_size"] == 128
    assert report["verdict"].startswith("Ready to train")


def test_annotations_alone_find_their_pictures(tmp_path, capsys):
    entries = [image(i) for i in (1, 2)]
    path = write_json(tmp_path, entries, [person(1, 1), person(2, 2)])
    line = fails(capsys, "doctor", path)
    assert "none of the 2 images is in" in line and "--images" in line
    (tmp_path / "images").mkdir()
    write_images(tmp_path / "images", entries)
    assert main(["doctor", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "Ready to train; no likely mistakes were found." in shown
    assert "not judged in annotations: only 0 people" in shown or "flip pairs" in shown


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"area": 900.0},
            ("nothing to learn from", "data.min_area=1024", "are 900 to 900"),
        ),
        ({"keypoints": [0] * 9}, ("nothing to learn from", "got none in 1 images")),
    ],
)
def test_where_training_would_fail_the_page_says_why(tmp_path, capsys, changes, words):
    entries = [image(1)]
    write_images(tmp_path, entries)
    path = write_json(tmp_path, entries, [person(**changes)])
    page = tmp_path / "page.html"
    line = would_fail(capsys, "doctor", path, "--html", page)
    text = page.read_text("utf-8")
    assert "Training would fail." in text
    for word in words:
        assert word in line and word in text


def test_pictures_that_all_are_broken_are_a_failure(tmp_path, capsys):
    """A broken header the reader refuses; the rest shows when it is decoded."""
    path = write_json(tmp_path, [image(1)], [person()])
    (tmp_path / "1.png").write_bytes(b"no picture")
    line = fails(capsys, "doctor", path)
    assert "none of the 1 images can be used" in line and "unknown format" in line
    write_images(tmp_path, [image(1)])
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    line = would_fail(capsys, "doctor", path)
    assert "none of 1 pictures can be used" in line and "1.png: broken image" in line


def test_a_config_that_does_not_fit_its_data(planted, capsys):
    line = would_fail(capsys, "doctor", planted[0], "train.batch_size=61")
    assert "train.batch_size: expected at most the 60 training images" in line


def test_wrong_arguments(planted, tmp_path, capsys):
    line = fails(capsys, "doctor", tmp_path / "none.json")
    assert "none.json: no such annotation file" in line
    line = fails(capsys, "doctor", planted[0], "--images", tmp_path)
    assert "expected no --images with a config" in line
    path = write_json(tmp_path, [image(1)], [person()])
    line = fails(capsys, "doctor", path, "data.min_area=0")
    assert "expected key=value with a config" in line
    write_images(tmp_path, [image(1)])
    line = fails(capsys, "doctor", path, "--model", tmp_path / "no.keras")
    assert "no.keras: expected a .keras model file" in line


def test_names_from_a_file_are_text_on_the_page(tmp_path, capsys):
    category = {"id": 1, "name": "<script>x</script>", "keypoints": ["<b>", "&", "'"]}
    write_images(tmp_path, [image(1)])
    path = write_json(tmp_path, [image(1)], [person()], [category])
    page = tmp_path / "page.html"
    assert main(["doctor", str(path), "--html", str(page)]) == 0
    assert "script" not in Page(page.read_text("utf-8")).tags
    assert "&lt;b&gt;" in page.read_text("utf-8")
