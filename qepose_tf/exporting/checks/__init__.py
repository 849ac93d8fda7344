"""What holds an exported file against the Keras model."""
