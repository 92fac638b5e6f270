import numpy as np
import pytest
from safetensors.numpy import load_file

from tradewind.data.tensor_files import read_tensors, write_tensors
from tradewind.errors import Corrupt


def arrays():
    rng = np.random.default_rng(3)
    return {
        "a/b": rng.standard_normal((7, 3)).astype(np.float32),
        "wide": rng.standard_normal((2, 5)).T,
        "whole": np.arange(11, dtype=np.int64),
        "flags": np.array([True, False]),
        "none": np.empty((0, 4), np.float16),
        "one": np.array(2.5),
    }


@pytest.mark.parametrize("mapped", [False, True])
def test_round_trip_and_the_public_layout(tmp_path, mapped):
    path = tmp_path / "x.safetensors"
    write_tensors(path, arrays(), {"k": "v"})
    found, metadata = read_tensors(path, mapped=mapped)
    public = load_file(path)
    assert metadata == {"k": "v"} and found.keys() == arrays().keys() == public.keys()
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
        np.testing.assert_array_equal(public[name], array)
        assert found[name].flags.writeable is (not mapped or found[name].size == 0)


def test_a_cut_at_any_byte_is_corrupt(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, arrays(), {"k": "v"})
    whole = path.read_bytes()
    for length in [0, 3, 8, 9, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(Corrupt, match=r"x\.safetensors"):
            read_tensors(path)
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(Corrupt):
        read_tensors(path)
    with pytest.raises(Corrupt, match="no such file"):
        read_tensors(tmp_path / "absent")
