"""Prepared data: TFRecord shards with an index."""
