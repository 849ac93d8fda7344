"""The folder of a run: its files, its state, and how a run continues from them."""
