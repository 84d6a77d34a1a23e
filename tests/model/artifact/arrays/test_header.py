"""What stands before an array, in NumPy's format."""

import gc
import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy
from numpy.typing import NDArray

from model.artifact.arrays.header import read_header
from model.artifact.arrays.load import load_array

_PLAIN = st.one_of(
    of_numpy.integer_dtypes(endianness="?"),
    of_numpy.unsigned_integer_dtypes(endianness="?"),
    of_numpy.floating_dtypes(endianness="?"),
    of_numpy.boolean_dtypes(),
    of_numpy.byte_string_dtypes(endianness="?"),
)


def _saved(array: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@given(
    of_numpy.arrays(
        dtype=_PLAIN, shape=of_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    ),
    st.booleans(),
)
def test_all_that_numpy_writes_is_read(array: NDArray[np.generic], is_turned: bool) -> None:
    """Shape, order, dtype, and where the first number begins."""
    if is_turned:
        array = array.T
    data = _saved(array)
    file = io.BytesIO(data)
    header = read_header(file)
    assert (header.shape, header.dtype) == (array.shape, array.dtype)
    assert data[file.tell() :] == array.tobytes("F" if header.is_by_column else "C")
    assert header.num_bytes == array.nbytes


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-200],
        lambda data: b"\x93NUMPX" + data[6:],
        lambda data: data[:6] + b"\x03\x00" + data[8:],
        lambda data: data[:8] + b"\xff\xff" + data[10:],
        lambda data: data.replace(b"'<f4'", b"'|O8'"),
        lambda data: data.replace(b"'<f4'", b"'<f7'"),
        lambda data: data.replace(b"'<f4'", b"f()  "),
        lambda data: data.replace(b"(3, 4)", b"(3, -)"),
        lambda data: data.replace(b"False", b"None "),
        lambda _: b"",
    ],
)
def test_what_nobody_wrote_is_refused(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """With a `ValueError`, whatever it is."""
    data = _saved(np.zeros((3, 4), dtype=np.float32))
    path = tmp_path / "array.npy"
    path.write_bytes(change(data))
    with pytest.raises(ValueError, match=r"NumPy's format|header|dtype|greater than"):
        load_array(path)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 4), ()])
def test_arrays_are_mapped(shape: tuple[int, ...], tmp_path: Path) -> None:
    """As they were, empty ones too, and for nobody to write."""
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "array.npy", array)
    found = load_array(tmp_path / "array.npy")
    np.testing.assert_array_equal(found, array)
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    assert not found.flags.writeable or not found.size


@pytest.fixture
def _threads_take_turns_often() -> Iterator[None]:
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(5, 2, 2)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


class _Slow:
    """What takes a while to be collected, so that another thread comes in between."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        sum(range(50))


@pytest.mark.usefixtures("_threads_take_turns_often")
def test_threads_do_not_disturb_each_other() -> None:
    """Python's parser counts nested calls for all threads together, so that NumPy's own
    reader fails here now and then.
    """
    data = _saved(np.zeros((3, 4), dtype=np.float32))

    def read(_: int) -> tuple[int, ...]:
        _Slow()
        return read_header(io.BytesIO(data)).shape

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(read, range(20_000))) == {(3, 4)}
