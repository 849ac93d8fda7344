"""The model as it is validated and saved: a copy without optimiser and replicas."""

import keras


class WeightsCopy:
    """A second model that takes over the weights of the one in training.

    Where the optimiser keeps moving averages of the weights, it takes these. The copy
    is of one device and brings no running metrics, so that one worker of several can
    use it while the others do something else.

    Args:
        model: in training.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._copy: keras.Model | None = None

    def updated(self) -> keras.Model:
        """The copy with the weights of this moment; always the same object."""
        if self._copy is None:
            self._copy = type(self._model).from_config(self._model.get_config())
        pairs = zip(self._copy.weights, self._model.weights, strict=True)
        averages = self._averages()
        for weight, source in pairs:
            value = averages.get(source.path, source)
            weight.assign(keras.ops.convert_to_numpy(value))
        return self._copy

    def _averages(self) -> dict[str, keras.Variable]:
        """The moving averages by the path of the weight; empty where there are none."""
        optimizer = self._model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not getattr(optimizer, "use_ema", False):
            return {}
        # Before the first step the averages are zeros.
        if not keras.ops.convert_to_numpy(optimizer.iterations):
            return {}
        # Keras names no public way to the averages.
        variables = optimizer._trainable_variables
        averages = optimizer._model_variables_moving_average
        pairs = [
            *zip(variables, averages, strict=True),
            *getattr(self._model.train_step, "statistics", ()),
        ]
        return {variable.path: average for variable, average in pairs}
