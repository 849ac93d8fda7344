"""Pure tensor functions on plain arguments, for every Keras backend."""
