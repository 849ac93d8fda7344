"""HRNet in PyTorch, as timm has it, with random weights: nothing is downloaded."""

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
    """Refuses a peer before any work.

    Raises:
        ValueError: there is no such peer, or it has no such backbone.
        ImportError: its packages are not installed.
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
    """The body in float32 and, by autocast, in bfloat16; channels last.

    Args:
        backbone: a key of `TIMM_NAMES`.
        parameters: of our body; the peer's must be the same number.
        batch: images at once.
        height: in pixels.
        width: in pixels.

    Raises:
        ValueError: timm's body is another one.
    """
    # torchvision, which timm imports, misses compiled parts that nothing here uses.
    warnings.simplefilter("ignore")
    import timm
    import torch

    # Without a location every map passes the classifier's layers, too.
    body = timm.create_model(
        TIMM_NAMES[backbone], pretrained=False, features_only=True, feature_location=""
    )
    found = sum(weights.numel() for weights in body.parameters())
    if found != parameters:
        raise ValueError(
            f"timm's {TIMM_NAMES[backbone]}: expected the {parameters:,} parameters of "
            f"our body, got {found:,}"
        )
    # PyTorch's annotations of `Module.to` lack this form, which its docstring has.
    body = body.eval()
    body = body.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
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
