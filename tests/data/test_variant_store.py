"""The store of variants: what is registered stays, also through a kill -9, and what is wrong is refused."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from tradewind.data.variant_store import VariantStore
from tradewind.errors import Corrupt, Misuse, Temporary

PROFILE = {"load": 0.25, "batches": [1, 2], "text": "ä"}


@pytest.fixture
def store(tmp_path):
    with VariantStore(tmp_path / "deep" / "variants.sqlite") as found:
        found.add_task("digits", {"metric": "accuracy"})
        yield found


def test_what_is_kept_reads_back_and_is_there_for_the_next(store, tmp_path):
    store.add_variant("b", "digits", {"accuracy": 0.5}, PROFILE)
    store.add_variant("a", "digits", {"accuracy": 0.25})
    with VariantStore(tmp_path / "deep" / "variants.sqlite") as again:
        assert again.tasks() == [("digits", {"metric": "accuracy"})]
        assert [(row.name, row.task, row.document, row.profile) for row in again.variants("digits")] == [
            ("a", "digits", {"accuracy": 0.25}, None),
            ("b", "digits", {"accuracy": 0.5}, PROFILE),
        ]
        again.put_profile("a", PROFILE)
        again.put_profile("a", {"load": 2.0})
        assert store.variant("a").profile == {"load": 2.0}


def test_a_name_is_given_once(store):
    store.add_variant("a", "digits", {})
    with pytest.raises(Misuse, match="there is a variant 'a' already"):
        store.add_variant("a", "digits", {"other": 1}, PROFILE)
    with pytest.raises(Misuse, match="there is a task 'digits' already"):
        store.add_task("digits", {})
    assert store.variant("a").document == {} and store.variant("a").profile is None


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.add_variant("a", "digit", {}),
        lambda store: store.variants("digit"),
        lambda store: store.remove_task("digit"),
    ],
)
def test_an_unknown_task_is_refused_with_a_suggestion(store, call):
    with pytest.raises(Misuse, match=r"task: there is no task 'digit'\. Did you mean 'digits'\?"):
        call(store)
    assert store.variants() == []


def test_unknown_variants_are_refused(store):
    for call in (store.variant, store.remove_variant, lambda name: store.put_profile(name, {})):
        with pytest.raises(Misuse, match="there is no variant 'x'"):
            call("x")


def test_removal(store):
    store.add_variant("a", "digits", {})
    with pytest.raises(Misuse, match="it still has 1 variants, such as 'a'"):
        store.remove_task("digits")
    store.remove_variant("a")
    store.remove_task("digits")
    assert store.tasks() == [] and store.variants() == []


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb"])
def test_what_is_no_name_is_refused(store, name):
    with pytest.raises(Misuse, match="is no name"):
        store.add_task(name, {})


@pytest.mark.parametrize("document", [{"x": float("nan")}, {"x": object()}, {"x": (1, 2)}, {"x": {1: 2}}])
def test_what_json_cannot_say_is_refused(store, document):
    with pytest.raises(Misuse, match=r"cannot be kept|no form in JSON"):
        store.add_variant("a", "digits", document)
    assert store.variants() == []


def test_what_is_no_store_is_refused(tmp_path, store):
    (tmp_path / "text").write_text("certainly no database, but long enough to look like something" * 20)
    with pytest.raises(Misuse, match="it is no store of variants"):
        VariantStore(tmp_path / "text")
    with pytest.raises(Misuse, match="it is no URL"):
        VariantStore("://")
    with pytest.raises(Misuse, match="no database is known"):
        VariantStore("nonsense://x/y")
    path = tmp_path / "deep" / "variants.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE serving_tasks SET document = '{'")
    with pytest.raises(Corrupt, match="the document of 'digits' does not read back"):
        store.tasks()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE variant_schema SET version = 9")
    raw.close()
    with pytest.raises(Misuse, match="it is of version 9, and this is for version 1"):
        VariantStore(path)


def test_while_another_writes_a_call_waits_and_then_says_so(tmp_path, store):
    raw = sqlite3.connect(tmp_path / "deep" / "variants.sqlite", isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(Temporary, match="locked"):
        VariantStore(tmp_path / "deep" / "variants.sqlite", wait=0.05)
    raw.execute("ROLLBACK")
    raw.close()
    store.add_task("later", {})


def test_two_processes_and_a_kill(tmp_path):
    """One registers without end and is killed at work; all that it told of is there, and nothing is half."""
    path = tmp_path / "variants.sqlite"
    script = textwrap.dedent(
        """
        import itertools, sys, time
        from tradewind.data.variant_store import VariantStore
        store = VariantStore(sys.argv[1])
        for at in itertools.count():
            store.add_task(f"task{at}", {"at": at})
            store.add_variant(f"variant{at}", f"task{at}", {"at": at}, {"load": at})
            print(at, flush=True)
            time.sleep(0.02)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout.readline() == "0\n"
        with VariantStore(path) as store:
            for at in range(3):  # beside it
                store.add_task(f"ours{at}", {})
            while int(child.stdout.readline()) < 5:
                pass
            os.kill(child.pid, signal.SIGKILL)
            told = child.stdout.read().split()
            child.wait()
            last = int(told[-1]) if told else 5
            rows = {row.name: row for row in store.variants()}
            assert all(rows[f"variant{at}"].profile == {"load": at} for at in range(last + 1))
            assert last + 1 <= len(rows) <= last + 2
            tasks = {name for name, _ in store.tasks()}
            assert {f"ours{at}" for at in range(3)} <= tasks
            store.add_task("after", {})
