"""A model and pictures: people, drawings and files of them."""
