"""HRNet of timm in PyTorch, with random weights, for which nothing is downloaded."""

import warnings
from collections.abc import Callable
from importlib.util import find_spec

from qepose_tf.benchmark.products import torch_products
from qepose_tf.benchmark.worker import Loaded

PEERS = ("torch",)
PACKAGES = ("torch", "timm")
TIMM_NAMES = {"w18": "hrnet_w18", "w32": "hrnet_w32", "w48": "hrnet_w48"}
BODY, BODY_BF16 = "torch body fp32", "torch body bf16"


def check_peer(peer: str, backbone: str) -> None:
    """Checks that a peer can be timed, before any work is done.

    Args:
        peer: One of `PEERS`.
        backbone: The name of our backbone.

    Raises:
        ValueError: There is no such peer, or it does not have the backbone.
        ImportError: The packages of the peer are not installed.
    """
    if peer not in PEERS:
        raise ValueError(f"expected a peer of {', '.join(PEERS)}, got {peer!r}")
    if backbone not in TIMM_NAMES:
        raise ValueError(
            f"peer {peer}: expected a backbone of {', '.join(TIMM_NAMES)}, which timm "
            f"has, got {backbone!r}"
        )
    for package in PACKAGES:
        if find_spec(package) is None:
            raise ImportError(
                f"peer {peer}: {package} is not installed: "
                "pip install 'qepose-tf[bench]'"
            )


def start(
    backbone: str, parameters: int, batch: int, height: int, width: int
) -> Loaded:
    """Loads the body, channels last, in float32 and, by autocast, in bfloat16.

    Args:
        backbone: A key of `TIMM_NAMES`.
        parameters: The number of parameters of our body, which timm's must have, too.
        batch: The number of images in a batch.
        height: The height of the images in px.
        width: The width of the images in px.

    Raises:
        ValueError: timm's body has another number of parameters.
    """
    # timm imports torchvision, which warns of compiled parts that are not used here.
    warnings.simplefilter("ignore")
    import timm
    import torch

    # With the default location every map also passes layers of the classifier.
    body = timm.create_model(
        TIMM_NAMES[backbone], pretrained=False, features_only=True, feature_location=""
    )
    found = sum(weights.numel() for weights in body.parameters())
    if found != parameters:
        raise ValueError(
            f"timm's {TIMM_NAMES[backbone]}: expected the {parameters:,} parameters of "
            f"our body, got {found:,}"
        )
    body = body.eval().to(memory_format=torch.channels_last)
    images = torch.rand(batch, 3, height, width)
    images = images.to(memory_format=torch.channels_last)

    def run(bfloat16: bool) -> Callable[[], object]:
        def call() -> object:
            with (
                torch.inference_mode(),
                torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16),
            ):
                return body(images)

        return call

    return Loaded({BODY: run(False), BODY_BF16: run(True), **torch_products()})
