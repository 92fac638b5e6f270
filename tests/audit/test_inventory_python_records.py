"""What installers of Python packages leave behind, whole and damaged."""

from inventory_trees import InMemory

from tradewind.audit.inventory.places import Places
from tradewind.audit.inventory.python_records import claimed_by, guessed, python_records

SITE = "venv/lib/python3.11/site-packages"
METADATA = "Metadata-Version: 2.1\nName: Some.Thing\nVersion: 1.0\n\nName: not this\n"


def only(given, notes=None):
    files = InMemory(given)
    told = []
    (record,) = python_records(files, told)
    assert notes is not None or not told, told
    if notes is not None:
        notes += told
    return record, files


def test_a_record_with_quotes_scripts_and_absolute_paths():
    listing = (
        'thing/__init__.py,sha256=x,3\n"thing/a,b.py",sha256=y,1\n../../../bin/thing,,\n'
        "/etc/thing.conf,,\n../../../share/../etc/more,,\ngone.py,,\nthing-1.0.dist-info/RECORD,,\n"
    )
    record, files = only(
        {
            f"{SITE}/thing-1.0.dist-info/METADATA": METADATA,
            f"{SITE}/thing-1.0.dist-info/RECORD": listing,
            f"{SITE}/thing-1.0.dist-info/REQUESTED": b"",
            f"{SITE}/thing-1.0.dist-info/uv_cache.json": b"{}",
            f"{SITE}/thing/__init__.py": b"",
            f"{SITE}/thing/a,b.py": b"",
            "venv/bin/thing": b"",
            "etc/thing.conf": b"",
            "venv/etc/more": b"",
            "venv/lib64": "-> lib",
        }
    )
    assert (record.name, record.version, record.folder) == ("some-thing", "1.0", SITE) and record.requested
    assert claimed_by(record, Places(files.tree)) == {
        f"{SITE}/thing/__init__.py",
        f"{SITE}/thing/a,b.py",
        "venv/bin/thing",
        "etc/thing.conf",
        "venv/etc/more",
        *(
            f"{SITE}/thing-1.0.dist-info/{each}"
            for each in ("METADATA", "RECORD", "REQUESTED", "uv_cache.json")
        ),
    }


def test_scripts_of_an_installation_into_a_target_are_found_below_it():
    record, files = only(
        {
            "deps/x-1.dist-info/METADATA": "Name: x\nVersion: 1\n",
            "deps/x-1.dist-info/RECORD": "x.py,,\n../../bin/x,,\n../../../outside,,\n",
            "deps/x.py": b"",
            "deps/bin/x": b"",
        }
    )
    found = claimed_by(record, Places(files.tree))
    assert {"deps/x.py", "deps/bin/x"} < found and not any("outside" in path for path in found)


def test_a_direct_url_tells_the_archive_and_what_is_editable():
    base = {
        "s/x-1.dist-info/METADATA": "Name: x\nVersion: 1\n",
        "s/x-1.dist-info/RECORD": "__editable__.x.pth,,\n",
    }
    archive = '{"url": "https://e.org/x.whl", "archive_info": {"hashes": {"sha256": "ab"}}}'
    record, _ = only({**base, "s/x-1.dist-info/direct_url.json": archive})
    assert (
        record.hashes == (("sha256", "ab"),) and record.url == "https://e.org/x.whl" and not record.editable
    )
    folder = '{"url": "file:///app", "dir_info": {"editable": true}}'
    assert only({**base, "s/x-1.dist-info/direct_url.json": folder})[0].editable
    notes = []
    assert only({**base, "s/x-1.dist-info/direct_url.json": "\udce9"}, notes)[0].url == ""
    assert "damaged" in notes[0]


def test_eggs_and_lists_of_old_installers():
    egg, files = only(
        {"s/x-1-py3.11.egg/EGG-INFO/PKG-INFO": "Name: x\nVersion: 1\n", "s/x-1-py3.11.egg/x/a.py": b""}
    )
    assert egg.folder == "s" and claimed_by(egg, Places(files.tree)) == set(files.contents)
    old, files = only(
        {
            "s/x-1.egg-info/PKG-INFO": "Name: x\nVersion: 1\n",
            "s/x-1.egg-info/installed-files.txt": "../x.py\nPKG-INFO\n",
            "s/x.py": b"",
        }
    )
    assert "s/x.py" in claimed_by(old, Places(files.tree))
    flat, _ = only({"s/six-1.16.0.egg-info": "Name: six\nVersion: 1.16.0\n"})
    assert (flat.name, flat.version, flat.metadata) == ("six", "1.16.0", "s/six-1.16.0.egg-info")


def test_without_a_list_the_modules_and_scripts_are_guessed():
    record, files = only(
        {
            "v/lib/python3.11/site-packages/x-1.dist-info/METADATA": "Name: X-lib\nVersion: 1\n",
            "v/lib/python3.11/site-packages/x-1.dist-info/top_level.txt": "x\n_x\n",
            "v/lib/python3.11/site-packages/x-1.dist-info/entry_points.txt": "[console_scripts]\n"
            "xrun = x:main\n[other]\ny = x\n",
            "v/lib/python3.11/site-packages/x/__init__.py": b"",
            "v/lib/python3.11/site-packages/x/others.py": b"",
            "v/lib/python3.11/site-packages/_x.cpython-311-x86_64-linux-gnu.so": b"",
            "v/lib/python3.11/site-packages/xy.py": b"",
            "v/bin/xrun": b"",
            "v/bin/y": b"",
        }
    )
    found = guessed(record, files, {f"{record.folder}/x/others.py"})
    assert found == {
        f"{record.folder}/x/__init__.py",
        f"{record.folder}/_x.cpython-311-x86_64-linux-gnu.so",
        "v/bin/xrun",
    }


def test_damage_is_told_and_never_raised():
    files = InMemory(
        {
            "s/~umpy-1.dist-info/METADATA": "Name: numpy\nVersion: 1\n",
            "s/bare-2.0.dist-info/RECORD": b"bare.py,,\n\xff\xfe,,\n" + b"x" * 200_000 + b",,\n",
            "s/nameless.dist-info/WHEEL": b"",
            "s/bare.py": b"",
        }
    )
    notes = []
    records = python_records(files, notes)
    assert [(r.name, r.version) for r in records] == [("bare", "2.0")]
    assert "s/bare.py" in claimed_by(records[0], Places(files.tree))
    told = " ".join(notes)
    assert "~umpy" in told and "named by its folder" in told and "nameless" in told and "damaged" in told
