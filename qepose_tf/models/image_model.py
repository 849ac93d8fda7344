"""What the models share that take pixels and return poses."""

from pathlib import Path
from typing import Any, TypeVar

import keras

from qepose_tf.models.pixels import check_sides
from qepose_tf.ops.facts import Divisors, Facts, Omega, Tensor
from qepose_tf.ops.replicas import sizes_may_vary
from qepose_tf.ops.targets import locate_omega
from qepose_tf.presets import Preset
from qepose_tf.skeleton import Skeleton

Kind = TypeVar("Kind", bound="ImageModel")


class ImageModel(keras.Model):
    """A functional model from images `[B, H, W, 3]` to a dict with poses.

    Attributes:
        training_only: The names of outputs that `predict` leaves out.
        presets: Trained models of the class that come with the package, by name.
        skeleton: The keypoints.
        backbone: The name of the body, or the user's model.
        body: The body.
        input_size: The short side at inference, in pixels.
        loss_settings: The settings of the loss, with a `disc_radius`.
    """

    training_only: tuple[str, ...] = ()
    presets: dict[str, Preset] = {}
    skeleton: Skeleton
    backbone: str | keras.Model
    body: keras.Model
    input_size: int
    loss_settings: Any

    @classmethod
    def from_preset(cls: type[Kind], preset: str | Path, **changes: Any) -> Kind:
        """Loads a trained model, or starts a new one from it.

        Args:
            preset: A name of `presets`, or the path of a `.keras` file.
            **changes: Arguments of the class that shall differ, such as `skeleton` or
                `input_size`; settings of a group that are not named stay. The body and
                all parts that belong to keypoints of the same name keep their weights,
                the others begin new.

        Returns:
            The model.

        Raises:
            ValueError: There is no such preset, the file is no model of this class, or
                a change does not go with it, such as another backbone.
            FileNotFoundError: There is no such file.

        Example:
            >>> from qepose_tf import PoseEstimator
            >>> dogs = Skeleton("dogs", ("nose", "tail"), (), (), (0.05, 0.1))
            >>> model = PoseEstimator.from_preset("people", skeleton=dogs)
            >>> model.skeleton.keypoints
            ('nose', 'tail')
        """
        from qepose_tf.models.transfer import load_changed

        return load_changed(cls, preset, changes)

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

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compiles as any Keras model, and creates the optimiser's variables.

        Created in the first step, they would make TensorFlow trace that step twice,
        which takes longer than tens of steps of a small model.

        Args:
            args: Those of `keras.Model.compile`.
            kwargs: Those of `keras.Model.compile`.
        """
        super().compile(*args, **kwargs)
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def locate(
        self, facts: Facts, map_hw: tuple[Tensor, Tensor], packed: bool | None = None
    ) -> Omega:
        """Returns Omega of every person, the cells whose poses are trained.

        Args:
            facts: The facts of the ground truth.
            map_hw: The height and width of the score map.
            packed: Whether cells that do not count are left out (see `Omega`). By
                default they are where the number of cells may differ from step to
                step: packed, a batch costs as many cells as are owned; padded, as many
                as its image with most people has.
        """
        if packed is None:
            packed = sizes_may_vary() and not self.jit_compile
        radius = self.loss_settings.disc_radius
        return locate_omega(facts.keypoints, facts.area, map_hw, radius, packed)

    def loss_divisors(self, omega: Omega, cells: Tensor) -> Divisors:
        """Counts, over all replicas, what the sums of the losses are divided by.

        Args:
            omega: Omega of the whole batch, padded or packed.
            cells: The number of cells in the score maps of the batch.
        """
        raise NotImplementedError

    def score_target(
        self, facts: Facts, outputs: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Returns what the score map is taught, and how much each cell weighs.

        Args:
            facts: The facts of the ground truth.
            outputs: The outputs of this model.

        Returns:
            Two maps `[B, H, W, 1]`.
        """
        raise NotImplementedError

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
