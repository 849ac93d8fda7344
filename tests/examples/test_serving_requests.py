"""The request examples, read as TF Serving reads them, fit the exported signatures."""

import base64
import json
import re
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format

from tests.examples.conftest import EXAMPLES

pytestmark = pytest.mark.slow

DOCS = EXAMPLES.parent / "docs"
REST = ("encoded_rows.json", "encoded_columns.json", "images_rows.json")


def is_binary(value):
    return isinstance(value, dict) and list(value) == ["b64"]


def tensor(value, dtype):
    """A JSON value as the tensor that TF Serving makes of it: nested lists of leaves.

    Only `{"b64": ...}` and strings become strings, only whole numbers uint8; whatever
    else there is, TF Serving refuses.
    """

    def leaf(value):
        if is_binary(value):
            assert dtype == tf.string
            return base64.b64decode(value["b64"], validate=True)
        assert type(value) is (str if dtype == tf.string else int)
        return value

    def nested(value):
        return [nested(v) for v in value] if isinstance(value, list) else leaf(value)

    # ragged lists fail here
    return np.array(
        nested(value), object if dtype == tf.string else dtype.as_numpy_dtype
    )


def tensors(request, specs):
    """The named inputs of a request, `instances` (rows) or `inputs` (columns)."""
    assert set(request) <= {"signature_name", "instances", "inputs"}
    assert ("instances" in request) != ("inputs" in request)
    (only,) = specs  # a name may be left out where there is one input
    if "inputs" in request:
        value = request["inputs"]
        if not isinstance(value, dict) or is_binary(value):
            value = {only: value}
    else:
        rows = request["instances"]
        assert isinstance(rows, list) and rows
        if isinstance(rows[0], dict) and not is_binary(rows[0]):
            assert all(set(row) == set(specs) for row in rows)
            rows = [row[only] for row in rows]
        value = {only: rows}
    return {name: tensor(value[name], spec.dtype) for name, spec in specs.items()}


def answer(loaded, signature_name, inputs):
    """Runs a signature after checking names, types and ranks against it."""
    signature = loaded.signatures[signature_name]
    specs = signature.structured_input_signature[1]
    assert set(inputs) == set(specs)
    for name, value in inputs.items():
        assert specs[name].shape.is_compatible_with(value.shape)
    given = {k: tf.constant(v, specs[k].dtype) for k, v in inputs.items()}
    return {name: value.numpy() for name, value in signature(**given).items()}


def rest_answer(loaded, request):
    name = request.get("signature_name", "serving_default")
    specs = loaded.signatures[name].structured_input_signature[1]
    return answer(loaded, name, tensors(request, specs))


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported("saved_model")))


def example(name):
    return json.loads((DOCS / "serving" / name).read_text())


@pytest.mark.parametrize("name", REST)
def test_rest_requests_fit_the_signatures(loaded, name):
    request = example(name)
    images = 1 if name == "images_rows.json" else 2
    found = rest_answer(loaded, request)
    assert found["poses"].shape == (images, 30, 17, 2)
    # TF Serving splits the answer to rows by a first axis that all outputs share, and
    # writes an output whose name ends in _bytes as base64.
    for output, value in found.items():
        assert value.shape[0] == images
        assert value.dtype.kind in "fi"
        assert not output.endswith("_bytes")


def test_rows_columns_and_grpc_say_the_same(loaded):
    rows, columns = (rest_answer(loaded, example(name)) for name in REST[:2])
    request = example("grpc_request.json")
    assert request["model_spec"]["signature_name"] == "serve_encoded"
    inputs = {}
    for name, value in request["inputs"].items():
        proto = json_format.ParseDict(value, tf.make_tensor_proto(0).__class__())
        inputs[name] = tf.make_ndarray(proto)
    grpc = answer(loaded, "serve_encoded", inputs)
    assert set(request["output_filter"]) <= set(grpc)
    for name, value in rows.items():
        np.testing.assert_array_equal(columns[name], value)
        np.testing.assert_array_equal(grpc[name], value)


def test_what_the_page_warns_of_does_not_fit(loaded):
    specs = loaded.signatures["serve_encoded"].structured_input_signature[1]
    content = example("encoded_rows.json")["instances"][0]
    scalar = tensors({"inputs": {"encoded": content}}, specs)["encoded"]
    assert not specs["encoded"].shape.is_compatible_with(scalar.shape)


def test_the_page_shows_every_request_file():
    page = (DOCS / "SERVING.md").read_text()
    linked = set(re.findall(r"\(serving/([a-z_]+\.json)\)", page))
    assert linked == {file.name for file in (DOCS / "serving").iterdir()}


def test_the_shell_line_of_the_page_makes_a_request(loaded, photos):
    page = (DOCS / "SERVING.md").read_text()
    (line,) = re.findall(r"^(printf .*) \\$", page, re.M)
    line = line.replace("photo.jpg", "tall.png")
    made = subprocess.run(
        ["sh", "-c", line], cwd=photos[0], capture_output=True, check=True, text=True
    )
    found = rest_answer(loaded, json.loads(made.stdout))
    assert found["count"][0] > 0
