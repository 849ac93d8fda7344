"""The copy of a model, without optimiser and replicas, that is validated and saved."""

import keras


class WeightsCopy:
    """A second model with the weights of the model in training.

    If the optimiser keeps moving averages of the weights, the copy gets these. The copy
    is on one device and has no running metrics, so one of several workers can use it
    while the others do something else.

    Args:
        model: The model in training.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._copy: keras.Model | None = None

    def updated(self) -> keras.Model:
        """Returns the copy with the current weights; it is always the same object."""
        if self._copy is None:
            self._copy = type(self._model).from_config(self._model.get_config())
        pairs = zip(self._copy.weights, self._model.weights, strict=True)
        averages = self._averages()
        for weight, source in pairs:
            value = averages.get(source.path, source)
            weight.assign(keras.ops.convert_to_numpy(value))
        return self._copy

    def _averages(self) -> dict[str, keras.Variable]:
        """Returns the moving averages by the path of their weight, if there are any."""
        optimizer = self._model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not getattr(optimizer, "use_ema", False):
            return {}
        # The averages are zeros before the first step.
        if not keras.ops.convert_to_numpy(optimizer.iterations):
            return {}
        # Keras has no public attribute for the averages.
        variables = optimizer._trainable_variables
        averages = optimizer._model_variables_moving_average
        pairs = [
            *zip(variables, averages, strict=True),
            *getattr(self._model.train_step, "statistics", ()),
        ]
        return {variable.path: average for variable, average in pairs}
