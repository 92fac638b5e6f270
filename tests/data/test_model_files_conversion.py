"""Conversion: tensors are bit-equal to what the library itself would load, and nothing is imported."""

import io
import json
import pickle
import subprocess
import sys
import zipfile

import joblib
import numpy as np
import pytest
from safetensors import safe_open
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from tradewind.data.model_files.conversion import convert
from tradewind.errors import Misuse

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file


def converted(tmp_path, write):
    source, target = tmp_path / "model.bin", tmp_path / "model.safetensors"
    write(source)
    return convert(source, target), target


def structure(target):
    with safe_open(target, "np") as file:
        return json.loads(file.metadata()["structure"])


def same(one, other):
    assert one.dtype == other.dtype and one.shape == other.shape
    assert torch.equal(
        one.reshape(-1).contiguous().view(torch.uint8), other.reshape(-1).contiguous().view(torch.uint8)
    )


def odd_tensors():
    chance = torch.Generator().manual_seed(3)
    base = torch.randn(6, 8, generator=chance)
    return {
        "whole": base,
        "view": base[2:, ::2],
        "turned": base.t(),
        "half": base.half(),
        "brain": base.bfloat16(),
        "double": base.double()[::3],
        "counts": torch.arange(5),
        "flags": torch.tensor([True, False]),
        "bytes": torch.arange(9, dtype=torch.uint8).reshape(3, 3),
        "one": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "spread": torch.ones(1).expand(4, 3),
        "weight": torch.nn.Parameter(base[:2].clone()),
        "complex": torch.tensor([1 + 2j, 3 - 1j]),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_state_dictionary_is_bit_equal_with_views_and_every_dtype(tmp_path, zipped):
    tensors = odd_tensors()
    about, target = converted(
        tmp_path, lambda path: torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    )
    found = load_file(target)
    assert set(found) == set(tensors) and about.state_dictionary and about.tensors == len(tensors)
    for name, tensor in tensors.items():
        same(found[name], tensor.detach())
    assert any({"whole", "view", "turned"} <= set(each) for each in about.shared)


def test_a_network_s_state_dictionary_loads_into_it(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    _, target = converted(tmp_path, lambda path: torch.save(network.state_dict(), path))
    fresh = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    fresh.load_state_dict(load_file(target))
    same(fresh[0].weight.detach(), network[0].weight.detach())


def test_a_checkpoint_keeps_what_is_no_tensor_as_plain_values(tmp_path):
    saved = {"model": {"w": torch.ones(2)}, "epoch": 3, "rate": float("inf"), "of": (1, [2, None])}
    about, target = converted(tmp_path, lambda path: torch.save(saved, path))
    told = structure(target)
    assert not about.state_dictionary and load_file(target).keys() == {"model.w"}
    assert told["epoch"] == 3 and told["rate"] == {"float": "inf"} and told["of"] == {"tuple": [1, [2, None]]}


@pytest.mark.parametrize("kind", ["pickle-2", "pickle-5", "joblib", "joblib-gz", "npy", "npz"])
def test_arrays_of_numpy_are_bit_equal(tmp_path, kind):
    arrays = {
        "a": np.random.default_rng(1).normal(size=(5, 7)),
        "f": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
        "i": np.arange(4, dtype=">i4"),
    }

    def write(path):
        if kind.startswith("pickle"):
            path.write_bytes(pickle.dumps(arrays, int(kind[-1])))
        elif kind.startswith("joblib"):
            joblib.dump(arrays, path, compress=("gzip", 3) if kind.endswith("gz") else 0)
        elif kind == "npy":
            with path.open("wb") as file:
                np.save(file, arrays["f"])
        else:
            with path.open("wb") as file:
                np.savez(file, **arrays)

    _, target = converted(tmp_path, write)
    with safe_open(target, "np") as file:
        for name in ["value"] if kind == "npy" else arrays:
            wanted = arrays["f" if kind == "npy" else name]
            assert np.array_equal(file.get_tensor(name), wanted)
            assert file.get_tensor(name).dtype == wanted.dtype.newbyteorder("<")


@pytest.mark.parametrize(
    "model", [LogisticRegression(), RandomForestClassifier(2, random_state=1)], ids=["linear", "forest"]
)
def test_an_estimator_is_its_arrays_and_a_structure_by_names(tmp_path, model):
    rows = np.random.default_rng(0).normal(size=(30, 3))
    labels = np.where(rows[:, 0] > 0, "yes", "no")
    model.fit(rows, labels)
    try:
        _, target = converted(tmp_path, lambda path: joblib.dump(model, path))
    except Misuse as problem:  # trees are records, which safetensors has not
        assert isinstance(model, RandomForestClassifier) and "records" in str(problem)
        return
    told = structure(target)
    assert told["object"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert told["state"]["classes_"]["texts"] == ["no", "yes"] and told["state"]["C"] == 1.0
    with safe_open(target, "np") as file:
        assert np.array_equal(file.get_tensor(told["state"]["coef_"]["tensor"]), model.coef_)


def refused(tmp_path, write, word):
    source = tmp_path / "model.bin"
    write(source)
    with pytest.raises(Misuse, match=word):
        convert(source, tmp_path / "out.safetensors")
    assert [each.name for each in tmp_path.iterdir()] == ["model.bin"]


class Attack:
    def __reduce__(self):
        return (print, ("harm",))


def test_what_is_not_clean_is_not_converted(tmp_path, capsys):
    refused(tmp_path, lambda path: path.write_bytes(pickle.dumps({"a": Attack()})), "blocked")
    refused(tmp_path, lambda path: path.write_bytes(pickle.dumps(np.arange(9.0))[:-5]), "verdict")
    refused(tmp_path, lambda path: path.write_bytes(b""), "verdict")
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore")
def test_quantised_and_sparse_tensors_are_refused(tmp_path):
    refused(
        tmp_path,
        lambda path: torch.save({"q": torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8)}, path),
        "quantised|verdict",
    )
    refused(tmp_path, lambda path: torch.save({"s": torch.eye(3).to_sparse()}, path), "sparse|verdict")


def test_a_value_that_holds_itself_is_refused(tmp_path):
    value = []
    value.append(value)
    refused(tmp_path, lambda path: path.write_bytes(pickle.dumps(value)), "holds itself|verdict")


def test_formats_without_pickles_are_not_converted(tmp_path):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", "1,2\n")

    refused(tmp_path, write, "no array|verdict")


def test_neither_torch_nor_sklearn_is_imported(tmp_path):
    content = io.BytesIO()
    torch.save({"w": torch.ones(2)}, content)
    (tmp_path / "m.pt").write_bytes(content.getvalue())
    joblib.dump(LogisticRegression().fit(np.eye(2), [0, 1]), tmp_path / "m.joblib")
    program = (
        "import sys\n"
        "from tradewind.data.model_files.conversion import convert\n"
        "for each in ('m.pt', 'm.joblib'): convert(each, 'out')\n"
        "assert not {'torch', 'sklearn', 'joblib', 'skops', 'onnx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=tmp_path)
