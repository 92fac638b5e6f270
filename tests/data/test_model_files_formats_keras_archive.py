"""Keras' archives: the configuration is judged, weights and assets go through their own readings."""

import io
import json
import zipfile

import pytest
from hdf5_writing import Writer

from tradewind.data.model_files.scanner import scan_bytes

GOOD = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {"layers": [{"module": "keras.layers", "class_name": "Dense", "config": {"units": 1}}]},
}


def weights():
    writer = Writer()
    return writer.file(writer.group([("vars", writer.dataset([1.0, 2.0]))]))


def archive(config=GOOD, **more):
    members = {
        "metadata.json": '{"keras_version": "3.15.1"}',
        "config.json": config if isinstance(config, str) else json.dumps(config),
        "model.weights.h5": weights(),
        **more,
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, member in members.items():
            file.writestr(name, member)
    return content.getvalue()


def judged(content):
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


def test_an_archive_of_layers_is_clean():
    assert judged(archive(**{"assets/vocabulary.txt": "the\nof\n"})) == ("keras", "clean", set())


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (archive({**GOOD, "config": {"layers": [{"class_name": "Lambda", "config": {}}]}}), "keras-lambda"),
        (archive({"module": "os", "class_name": "system", "config": "id"}), "keras-unknown-class"),
        (archive("[]"), "keras-config"),
        (archive('{"class_name": "Sequential", "class_name": "Lambda"}'), "json-repeated-key"),
        (archive("{"), "json-malformed"),
        (archive(**{"assets/x.pkl": b"cos\nsystem\n(S'id'\ntR."}), "pickle-global"),
        (archive(**{"evil.so": b"\x7fELF"}), "keras-member"),
        (archive(**{"../../up.txt": "text of some length\n"}), "zip-path"),
        (archive(**{"model.weights.h5": weights()[:-9]}), "hdf5-malformed"),
    ],
    ids=["lambda", "system", "list", "twice", "malformed", "pickle", "native", "slip", "cut"],
)
def test_what_is_wrong_in_it_is_told(content, rule):
    _, verdict, rules = judged(content)
    assert verdict != "clean" and rule in rules, rules


def test_a_cut_archive_is_never_clean():
    whole = archive()
    assert not [cut for cut in range(0, len(whole), 7) if judged(whole[:cut])[1] == "clean"]
