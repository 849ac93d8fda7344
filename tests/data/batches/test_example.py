import logging

import numpy as np
import pytest
from PIL import Image

from tests.data.pipelines import MOVED, passes, same, three_images, train


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_cache_changes_nothing(tmp_path, kind, caplog):
    coco = three_images(tmp_path)
    cache = "memory" if kind == "memory" else tmp_path / "new" / "cache"
    plain = passes(train(coco, augment=MOVED))
    dataset = train(coco, augment=MOVED, cache=cache)
    first = passes(dataset, 1)[0]
    assert same(plain[0], first)
    contents = {record.file: record.file.read_bytes() for record in coco.records}
    if kind == "memory":
        for record in coco.records:
            record.file.unlink()  # nothing is read again
    else:
        assert len(list(cache.iterdir())) == 3
        for file in cache.iterdir():
            assert file.suffix == ".npz"
    assert same(plain[1], passes(dataset, 1)[0])
    if kind == "memory":
        return
    broken = sorted(cache.iterdir())[0]
    broken.write_bytes(b"half a file")
    again = train(coco, augment=MOVED, cache=cache)
    with caplog.at_level(logging.WARNING):
        assert same(plain[0], passes(again, 1)[0])
    assert "broken cache file, made again" in caplog.text
    # An image that changes is not taken from the cache.
    file = coco.records[0].file
    Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(file)
    assert file.read_bytes() != contents[file]
    assert not same(plain[0], passes(train(coco, augment=MOVED, cache=cache), 1)[0])


def test_cache_of_another_kind_or_unwritable(tmp_path):
    coco = three_images(tmp_path)
    with pytest.raises(ValueError, match="cache: expected 'memory', 'none' or a Path"):
        train(coco, cache="disk")
    with pytest.raises(OSError, match="cannot make the cache folder"):
        train(coco, cache=coco.path / "below a file")
