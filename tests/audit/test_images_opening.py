"""tradewind.audit.images.opening, and with it layouts and settings"""

import gzip
import hashlib
import json
import random
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images_by_hand import Layout, digest, directory, docker, hard, layout, link, member, packed, tar

from tradewind.audit.images.limits import Limits
from tradewind.audit.images.opening import open_files
from tradewind.errors import Misuse
from tradewind.testing.images import small_root

LOWER = tar(directory("etc"), member("etc/a", b"a"), member("etc/b", b"b" * 3000), hard("etc/c", "etc/b"))
UPPER = tar(member("etc/.wh.a", b""), member("app/run", b"run", mode=0o755), link("etc/d", "b"))
PATHS = ["app", "app/run", "etc", "etc/b", "etc/c", "etc/d"]


def archived(folder: Path) -> bytes:
    """A layout as one archive."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return tar(*(member(str(path.relative_to(folder)), path.read_bytes()) for path in found))


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["directory", "archive", "packed archive"])
def test_layers_of_a_layout_are_one_tree(packing: str, form: str, tmp_path: Path) -> None:
    where = layout(
        tmp_path / "image",
        LOWER,
        UPPER,
        packing=packing,
        history=[{"created_by": "first"}, {"empty_layer": True}, {"created_by": "second"}],
    )
    if form != "directory":
        content = archived(where)
        where = tmp_path / "image.tar"
        where.write_bytes(content if form == "archive" else gzip.compress(content))
    told: list[int] = []
    with open_files(where, progress=told.append) as image:
        assert image.kind == ("OCI layout" if form == "directory" else "OCI archive")
        assert list(image.files.tree.entries) == PATHS and image.files.tree.bytes == 3003
        assert image.files.read("etc/b") == b"b" * 3000 and image.files.tree.names == {1: ("etc/b", "etc/c")}
        assert image.files.tree.entries["app/run"].layer == 1 and image.files.tree.entries["etc/b"].layer == 0
        assert [(each.diff_id, each.bytes, each.created_by) for each in image.layers] == [
            (digest(LOWER), len(LOWER), "first"), (digest(UPPER), len(UPPER), "second"),
        ]  # fmt: skip
        assert [(each.digest, each.packed) for each in image.layers] == [
            (digest(packed(each, packing)), len(packed(each, packing))) for each in (LOWER, UPPER)
        ] or packing == "gzip"
        with image.blob(1) as blob:
            assert digest(blob.read()) == image.layers[1].digest
        with image.files.open("etc/b") as file:
            assert file.seek(-10, 2) == 2990 and file.read() == b"b" * 10 and file.read() == b""
    assert sum(told) >= sum(each.packed for each in image.layers)


@pytest.mark.parametrize("linked", [False, True], ids=["apart", "linked"])
def test_a_docker_archive_of_either_age_is_read(linked: bool, tmp_path: Path) -> None:
    old = tmp_path / "old.tar"
    old.write_bytes(docker(LOWER, LOWER, linked=True) if linked else docker(LOWER, UPPER))
    with open_files(old) as image:
        assert image.kind == "docker archive" and image.reference == "shop/model:1"
        assert list(image.files.tree.entries) == PATHS if not linked else "etc/a" in image.files.tree
    with open_files(f"{old}@1") as image:
        assert len(image.layers) == 2


def test_an_archive_of_a_root_and_a_directory_are_trees_too(tmp_path: Path) -> None:
    root = small_root(tmp_path / "root")
    (tmp_path / "root.tar.gz").write_bytes(gzip.compress(tar(directory("./"), member("./etc/a", b"a"))))
    with open_files(tmp_path / "root.tar.gz") as image:
        assert image.kind == "archive" and list(image.files.tree.entries) == ["etc", "etc/a"]
    with open_files(root) as image:
        assert image.kind == "directory" and image.layers == () and image.config == {}
        assert image.digest.startswith("sha256:") and not image.unchanged(0, ["etc/passwd"])


def test_an_image_says_how_it_is_run(tmp_path: Path) -> None:
    config = {"Env": ["PATH=/bin", "A=b=c"], "Entrypoint": ["/run"], "Cmd": ["serve"], "User": "7:8",
              "WorkingDir": "/app", "ExposedPorts": {"80/tcp": {}}, "Labels": {"by": "us"}}  # fmt: skip
    with open_files(layout(tmp_path / "image", LOWER, config=config)) as image:
        assert image.settings.command == ("/run", "serve") and image.settings.environment == {
            "PATH": "/bin",
            "A": "b=c",
        }
        assert (image.settings.user, image.settings.workdir, image.settings.ports) == (
            "7:8",
            "/app",
            ("80/tcp",),
        )
        assert image.config["config"] == config


def test_one_of_several_images_is_chosen(tmp_path: Path) -> None:
    made = Layout(tmp_path / "images@home")
    first, second = made.image([LOWER]), made.image([UPPER], architecture="arm64")
    attestation = made.blob({"attested": True}, "manifest.v1+json")
    attestation["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    absent = {**first, "digest": "sha256:" + "0" * 64, "platform": {"os": "plan9"}}
    inner = made.blob({"manifests": [first, second, attestation, absent]}, "index.v1+json")
    named = {"shop.example/shampoo:3": second}
    where = made.index(both=inner, two=second, **named)
    for reference, layer in [
        ("linux/arm64", UPPER),
        ("two", UPPER),
        ("3", UPPER),
        (first["digest"], LOWER),
    ]:
        with open_files(f"{where}@{reference}") as image:
            assert image.layers[0].diff_id == digest(layer)
        with open_files(where, reference=reference) as image:
            assert image.layers[0].diff_id == digest(layer)
    for wrong in ("", "both", "four", "linux"):
        with (
            pytest.raises(Misuse, match=r"linux/amd64.*linux/arm64") as error,
            open_files(where, reference=wrong),
        ):
            pass
        assert "@NAME" in error.value.fix


def damaged(case: str, folder: Path) -> Path:
    """A layout that is wrong in one way."""
    made = Layout(folder)
    blobs = folder / "blobs/sha256"

    def blob_of(descriptor: dict[str, str]) -> Path:
        return blobs / descriptor["digest"].removeprefix("sha256:")

    image = made.image([LOWER, UPPER])
    manifest = json.loads(blob_of(image).read_text())
    layer, config = blob_of(manifest["layers"][0]), blob_of(manifest["config"])
    where = made.index(image)
    match case:
        case "altered layer":
            content = bytearray(layer.read_bytes())
            content[-1] ^= 1
            layer.write_bytes(content)
        case "another layer":
            layer.write_bytes(blob_of(manifest["layers"][1]).read_bytes().ljust(layer.stat().st_size, b"\0"))
        case "shorter layer":
            layer.write_bytes(layer.read_bytes()[:-10])
        case "missing layer":
            layer.unlink()
        case "altered manifest":
            blob_of(image).write_text(blob_of(image).read_text().replace("layers", "Layers"))
        case "altered configuration":
            config.write_text(config.read_text().replace("amd64", "arm64"))
        case "missing configuration":
            config.unlink()
        case "wrong diff_id":
            made.index(made.image([LOWER], rootfs={"diff_ids": [digest(UPPER)]}))
        case "too few diff_ids":
            made.index(made.image([LOWER, UPPER], rootfs={"diff_ids": [digest(LOWER)]}))
        case "cut gzip":
            made.index(cut(made, gzip.compress(LOWER)[:-20]))
        case "cut zstd":
            made.index(cut(made, packed(LOWER * 40, "zstd")[:-20]))
        case "no archive":
            made.index(cut(made, b"\x7fELF" * 1000))
        case "encrypted":
            manifest["layers"][0]["mediaType"] += "+encrypted"
            made.index(made.blob(manifest, "manifest.v1+json"))
        case "digest that leaves the layout":
            made.index({**image, "digest": "sha256:../../../etc/passwd"})
        case "digest of another kind":
            made.index({**image, "digest": "md5:" + "0" * 32})
        case "settings that are none":
            made.index(made.image([LOWER], config={"Env": "PATH"}))
        case "index of itself":
            (folder / "index.json").write_text("[" * 100_000)
        case "no index":
            (folder / "index.json").write_text("{}")
        case "version":
            (folder / "oci-layout").write_text('{"imageLayoutVersion": "9"}')
        case "link for a layer":
            layer.unlink()
            layer.symlink_to("/etc/passwd")
        case "artifact":
            manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
            made.index(made.blob(manifest, "manifest.v1+json"))
    return where


def cut(made: Layout, layer: bytes) -> dict[str, object]:
    """An image whose layer is that, with digests that fit it."""
    config = made.blob({"rootfs": {"diff_ids": [digest(LOWER)]}}, "config.v1+json")
    return made.blob({"config": config, "layers": [made.blob(layer, "layer.v1.tar")]}, "manifest.v1+json")


CASES = [
    "altered layer",
    "another layer",
    "shorter layer",
    "missing layer",
    "altered manifest",
    "altered configuration",
    "missing configuration",
    "wrong diff_id",
    "too few diff_ids",
    "cut gzip",
    "cut zstd",
    "no archive",
    "encrypted",
    "digest that leaves the layout",
    "digest of another kind",
    "settings that are none",
    "index of itself",
    "no index",
    "version",
    "link for a layer",
    "artifact",
]


@pytest.mark.parametrize("case", CASES)
def test_what_is_damaged_is_refused_and_named(case: str, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(Misuse) as error, open_files(damaged(case, tmp_path / "image"), scratch=scratch):
        pass
    assert str(tmp_path / "image") in str(error.value) or "sha256:" in error.value.source
    assert not list(scratch.iterdir())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 1 << 32),
    st.sampled_from([None, 7, -1, "", "x", [], {}, [[]], {"a": []}, [None], "sha256:x"]),
)
def test_documents_that_say_anything_are_read_or_refused(seed: int, value: object) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        made = Layout(Path(name))
        config = {"config": {"Env": ["A=b"], "Labels": {"a": "b"}}, "history": [{"created_by": "x"}],
                  "os": "linux", "rootfs": {"diff_ids": [digest(LOWER)]}}  # fmt: skip
        about: dict[str, Any] = {
            "config": {},
            "layers": [made.blob(LOWER, "layer.v1.tar")],
            "annotations": {"a": "b"},
        }
        spoilt = chance.randrange(4)
        about["config"] = made.blob(spoil(config, value, chance) if spoilt == 0 else config, "config.v1+json")
        image = made.blob(spoil(about, value, chance) if spoilt == 1 else about, "manifest.v1+json")
        listed = {"manifests": [{**image, "platform": {"os": "linux"}, "annotations": {"x": "y"}}]}
        (Path(name) / "index.json").write_text(
            json.dumps(spoil(listed, value, chance) if spoilt == 2 else listed)
        )
        old = [{"Config": about["config"]["digest"], "RepoTags": ["a:b"], "Layers": ["index.json"]}]
        if spoilt == 3:
            (Path(name) / "oci-layout").unlink()
            (Path(name) / "manifest.json").write_text(json.dumps(spoil(old, value, chance)))
        with suppress(Misuse), open_files(name) as found:
            assert spoilt < 3 or found.kind == "directory"


def spoil(document: Any, value: object, chance: random.Random) -> Any:
    """The document with one thing in it, at any depth, put in the place of another value."""
    if chance.random() < 0.25 or not document or not isinstance(document, dict | list):
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    key = chance.choice(sorted(copy) if isinstance(copy, dict) else range(len(copy)))
    copy[key] = spoil(copy[key], value, chance)
    return copy


def test_sha512_is_a_digest_too(tmp_path: Path) -> None:
    made = Layout(tmp_path)
    (tmp_path / "blobs/sha512").mkdir()
    name = hashlib.sha512(LOWER).hexdigest()
    (tmp_path / "blobs/sha512" / name).write_bytes(LOWER)
    layer = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": f"sha512:{name}",
        "size": len(LOWER),
    }
    config = made.blob({"rootfs": {"diff_ids": [digest(LOWER)]}}, "config.v1+json")
    with open_files(
        made.index(made.blob({"config": config, "layers": [layer]}, "manifest.v1+json"))
    ) as image:
        assert "etc/a" in image.files.tree and image.layers[0].digest == f"sha512:{name}"


def test_a_bomb_is_stopped_by_the_limits(tmp_path: Path) -> None:
    bomb = tar(member("zeros", bytes(66 << 20)))
    where = layout(tmp_path / "image", bomb, packing="zstd")
    with pytest.raises(Misuse, match="1,100 times"), open_files(where):
        pass
    with (
        pytest.raises(Misuse, match="more than 50,000,000 bytes"),
        open_files(where, limits=Limits(bytes=50_000_000)),
    ):
        pass


def test_what_is_nothing_of_these_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image\n" * 1000)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "root.tar").write_bytes(LOWER)
    (tmp_path / "cut.tar").write_bytes(LOWER[:-10240])
    for name in ("text", "empty", "absent", "root.tar@x", "cut.tar"):
        with pytest.raises(Misuse, match=str(tmp_path)), open_files(tmp_path / name):
            pass


def test_a_layer_that_is_kept_whole_can_be_copied(tmp_path: Path) -> None:
    with open_files(layout(tmp_path / "image", LOWER, UPPER)) as image:
        everything = set(image.files.tree.entries)
        assert image.unchanged(1, everything) and image.unchanged(1, {"app/run", "etc/d"})
        assert not image.unchanged(1, {"app/run"})
        # The upper layer hides a file of the lower one.
        assert not image.unchanged(0, everything)


def test_an_image_can_be_read_while_its_place_is_gone(tmp_path: Path) -> None:
    with open_files(layout(tmp_path / "image", LOWER)) as image:
        shutil.rmtree(tmp_path / "image")
        assert image.files.read("etc/a") == b"a"
