"""What the models share that take pixels and return poses."""

from typing import Any

import keras

from qepose_tf.models.pixels import check_sides
from qepose_tf.ops.facts import Tensor
from qepose_tf.skeleton import Skeleton


class ImageModel(keras.Model):
    """A functional model from images `[B, H, W, 3]` to a dict with poses.

    Attributes:
        training_only: The names of outputs that `predict` leaves out.
        skeleton: The keypoints.
        backbone: The name of the body, or the user's model.
        body: The body.
        input_size: The short side at inference, in pixels.
    """

    training_only: tuple[str, ...] = ()
    skeleton: Skeleton
    backbone: str | keras.Model
    body: keras.Model
    input_size: int

    @property
    def backbone_name(self) -> str:
        """The name of the backbone, or that of the user's model."""
        return self.backbone if isinstance(self.backbone, str) else self.body.name

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name}: {self.skeleton.num_keypoints} "
            f"keypoints ({self.skeleton.name}), backbone {self.backbone_name}, input "
            f"size {self.input_size}>"
        )

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Any = None
    ) -> dict[str, Tensor]:
        """Computes the outputs of `[B, H, W, 3]` images, see the class."""
        check_sides(inputs.shape)
        return super().call(inputs, training=training, mask=mask)

    def predict_step(self, *args: Any) -> Any:
        """Predicts without the outputs of `training_only`, which fill the memory."""
        result = super().predict_step(*args)
        outputs, *state = result if isinstance(result, tuple) else (result,)
        outputs = {k: v for k, v in outputs.items() if k not in self.training_only}
        return (outputs, *state) if state else outputs
