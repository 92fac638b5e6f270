"""`audit slim` of several images: their common layer stays one, and each is verified by its own profile."""

import json
from pathlib import Path

import pytest

from audited_root import runnable_root
from tradewind.audit.images.opening import open_files
from tradewind.audit.images.writing import LayerContent, write_image
from tradewind.cli.main import main

pytestmark = pytest.mark.root

OWN = {"a": 200_000, "b": 300_000}


@pytest.fixture
def audit(tmp_path, monkeypatch, capsys):
    """Call a verb in a folder with two images on one base, whose runs are recorded in `pa` and `pb`."""
    base = runnable_root(tmp_path / "root")
    (base / "lib").mkdir()
    for name, size in {"both": 500_000, **OWN}.items():
        (base / "lib" / name).write_bytes(name[0].encode() * size)
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capsys.readouterr()
        code = main(["audit", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    with open_files(base) as image:
        for name in OWN:
            (tmp_path / name / "app").mkdir(parents=True)
            (tmp_path / name / "app" / name).write_text(name)
            with open_files(tmp_path / name) as top:
                layers = [LayerContent(each.files, list(each.files.tree.entries)) for each in (image, top)]
                write_image(tmp_path / f"{name}.oci", layers)
            run = f"cat /app/{name} /lib/both /lib/{name}"
            assert call("trace", f"{name}.oci", "--run", run, "--profile", f"p{name}")[0] == 0
    return call


def test_several_images_share_what_it_pays_to_share(audit):
    both = ("--profile", "pa", "--profile", "pb")
    code, out, _ = audit("slim", "a.oci", "b.oci", *both, "--to", "s")
    assert code == 0 and "1 of 1 layers in common are shared" in out
    assert "pa by 300 kB, pb by 200 kB larger" in out
    for name in ("pa", "pb"):
        code, out, _ = audit("verify", "--slim", "s", "--profile", name)
        assert code == 0 and "It holds" in out
    with open_files(Path("s/image@pa-slim")) as one, open_files(Path("s/image@pb-slim")) as other:
        assert one.layers[0].digest == other.layers[0].digest
        assert "lib/b" in one.files.tree and "app/b" not in one.files.tree
    code, out, _ = audit("slim", *both, "--share", "none", "--to", "s2", "--form", "folders", "--json")
    apart = json.loads(out)
    assert code == 0 and apart["shared_layers"] == apart["saved_bytes"] == 0
    assert not Path("s2/pa-slim/lib/b").exists()
    assert apart["common"][0]["apart"] - apart["common"][0]["together"] > 500_000

    for words, said in (
        (("slim", "a.oci", "b.oci", "--to", "t"), "as many profiles are needed, not 1"),
        (("slim", "--profile", "pa", "--profile", "pa", "--to", "t"), "two profiles are called 'pa'"),
        (("slim", *both, "--run", "true", "--to", "t"), "Trace each first"),
        (("verify", "--slim", "s2", "--profile", "audit-profile"), "there is no profile here"),
    ):
        code, _, err = audit(*words)
        assert code == 2 and said in err
    assert not Path("t").exists()
