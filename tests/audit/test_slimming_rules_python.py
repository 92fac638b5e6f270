import pytest
from slimming_files import closed, files_of, run

from tradewind.audit.slimming.kept import Reason
from tradewind.audit.slimming.rules.python import landmarks, sources

SITE = "usr/lib/python3/dist-packages"


@pytest.mark.parametrize("tag", ["cpython-311", "cpython-313", "cpython-311.opt-1", "pypy39-73"])
def test_a_compiled_module_keeps_its_source(tag):
    pyc = f"{SITE}/m/__pycache__/a.{tag}.pyc"
    files = files_of({pyc: "c", f"{SITE}/m/a.py": "x = 1", f"{SITE}/m/b.py": "y"})
    opened = run(opened=[pyc])
    assert closed(files, opened).kept.reasons[f"{SITE}/m/a.py"] == Reason("source", pyc)
    assert f"{SITE}/m/b.py" not in closed(files, opened).kept
    assert f"{SITE}/m/a.py" not in closed(files, opened, without=sources).kept


def test_without_sources_compiled_modules_take_their_place():
    names = {f"{SITE}/{name}.py": f"# {name}" for name in ("a", "shown", "two", "script")}
    cached = {f"{SITE}/__pycache__/{name}.cpython-311.pyc": name for name in ("a", "shown", "two")}
    files = files_of(names | cached | {f"{SITE}/__pycache__/two.cpython-312.pyc": "other"})
    first = run(opened=[*files.contents.keys() - {f"{SITE}/a.py", f"{SITE}/two.py"}], probed=[f"{SITE}/a.py"])
    found = closed(files, first, sources="sourceless")
    assert found.moved == {f"{SITE}/a.pyc": f"{SITE}/__pycache__/a.cpython-311.pyc"}
    assert not found.kept.paths & {f"{SITE}/a.py", f"{SITE}/__pycache__/a.cpython-311.pyc"}
    assert {f"{SITE}/shown.py", f"{SITE}/script.py", *list(cached)[1:]} <= found.kept.paths, (
        "sources that are read stay"
    )
    assert found.only_probed == (f"{SITE}/a.py",)


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13t", "3.14"])
def test_landmarks_are_kept_for_any_version(version):
    home = f"opt/py/lib/python{version}"
    files = files_of(
        {
            f"{home}/os.py": "os",
            f"{home}/lib-dynload/_x.so": "",
            f"{home}/site-packages/p.py": "",
            f"{home}/json.py": "",
            "opt/py/lib/python2.7/os.py": "old",
            f"opt/py/bin/python{version}": "elf",
            "opt/py/lib/python3/dist-packages/q": "",
        }
    )
    for opened in ([f"opt/py/bin/python{version}"], [f"{home}/json.py"]):
        found = closed(files, run(opened=opened))
        assert {f"{home}/os.py", f"{home}/lib-dynload", f"{home}/site-packages"} <= found.kept.paths
        assert not found.kept.paths & {"opt/py/lib/python2.7/os.py", f"{home}/site-packages/p.py"}
        assert f"{home}/os.py" not in closed(files, run(opened=opened), without=landmarks).kept


def test_a_virtual_environment_is_known_by_its_configuration():
    files = files_of(
        {
            "venv/pyvenv.cfg": "home = /usr/bin",
            "venv/bin/python": "-> /usr/bin/python3.11",
            "usr/bin/python3.11": "elf",
            "usr/lib/python3.11/os.py": "os",
            "venv/lib/python3.11/site-packages/p.py": "p",
        }
    )
    found = closed(files, run(opened=["usr/bin/python3.11"], hops=["venv/bin/python"]))
    assert {
        "venv/pyvenv.cfg",
        "usr/lib/python3.11/os.py",
        "venv/lib/python3.11/site-packages",
    } <= found.kept.paths
