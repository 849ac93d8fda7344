import logging

import numpy as np
import pytest
from PIL import Image

from qepose_tf.images.readable import readable_images


def test_broken_photos_are_left_out_and_others_take_their_place(tmp_path, caplog):
    files = [tmp_path / f"{n}.png" for n in range(4)]
    for number, file in enumerate(files):
        Image.new("RGB", (400, 300), (number, 0, 0)).save(file)
    files[0].write_bytes(files[0].read_bytes()[:300])
    files[1].unlink()
    with caplog.at_level(logging.WARNING, "qepose_tf"):
        found = readable_images(files, 1)
    assert list(found) == [files[2]]
    np.testing.assert_array_equal(found[files[2]][0, 0], [2, 0, 0])
    assert len(caplog.records) == 2 and "0.png: broken image" in caplog.text
    assert list(readable_images(files)) == files[2:]
    assert readable_images([]) == {}
    with pytest.raises(ValueError, match="none of 2 pictures could be read.*0.png"):
        readable_images(files[:2])
