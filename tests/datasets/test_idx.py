import gzip
import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_dcgan.datasets.idx import idx_sha256, read_idx, write_idx
from keras_dcgan.tools.files import BadFile

ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


@given(array=ARRAYS, zipped=st.booleans())
def test_round_trip(tmp_path_factory, array, zipped):
    path = tmp_path_factory.mktemp("idx") / "a"
    write_idx(path, array)
    assert idx_sha256(array) == hashlib.sha256(path.read_bytes()).hexdigest()
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_idx(path), array)


@given(data=st.binary(max_size=64))
def test_bytes_are_read_or_refused_by_name(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("idx") / "junk"
    path.write_bytes(data)
    try:
        assert read_idx(path).dtype == np.uint8
    except BadFile as error:
        assert str(path) in str(error)


HEADER = b"\x00\x00\x08\x03" + struct.pack(">3I", 2, 3, 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00\x0d\x03", "not an IDX file of unsigned bytes"),
        (HEADER[:9], "cut within its header"),
        (HEADER + b"x" * 23, "cut: 23 of 24 bytes"),
        (HEADER + b"x" * 25, "longer than the 24 bytes"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "its header claims"),
        (gzip.compress(HEADER + b"x" * 24, mtime=0)[:-9], "file ended"),
        (gzip.compress(HEADER + bytes(10_000_000)), "longer than the 24 bytes"),  # a bomb is not unpacked
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path, data, message):
    path = tmp_path / "bad"
    path.write_bytes(data)
    with pytest.raises(BadFile, match=message):
        read_idx(path)


def test_a_header_that_claims_gigabytes_costs_none(tmp_path):
    path = tmp_path / "lie"
    path.write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", 2**32 - 1) + b"few")
    tracemalloc.start()
    with pytest.raises(BadFile, match="cut: 3 of 4294967295 bytes"):
        read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
