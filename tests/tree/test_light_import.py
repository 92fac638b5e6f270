"""`import tradewind` loads none of the heavy packages, and every public name has a home."""

import json
import subprocess
import sys

import pytest

HEAVY = [
    "numpy",
    "scipy",
    "numba",
    "sklearn",
    "torch",
    "boto3",
    "ray",
    "zmq",
    "pyarrow",
    "sqlalchemy",
    "matplotlib",
    "rich",
    "click",
]


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps([m for m in sys.modules if '.' not in m]))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(out.stdout))


def test_import_loads_no_heavy_package():
    assert "numpy" in loaded_by("import numpy"), "the test can see what is loaded"
    assert not loaded_by("import tradewind") & set(HEAVY)


def test_the_command_line_says_its_verbs_without_loading_them():
    loaded = loaded_by("import tradewind.cli.main")
    assert not loaded & (set(HEAVY) - {"click"})


def test_an_unknown_name_is_refused_as_a_module_does():
    import tradewind

    assert "train" in dir(tradewind)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = tradewind.trian


def test_import_is_quick():
    code = "import time; t = time.perf_counter(); import tradewind; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 0.150
