"""Git's patches as values: hunks, names that are quoted, ends without a newline, and what is no patch."""

import pytest

from tradewind.audit.growth.patches import patches, unquoted
from tradewind.errors import Misuse

A, B = b"a" * 40, b"b" * 40
LOG = b"""commit:%(one)s

:100644 100644 %(a)s %(b)s M\tapp.py
:100644 100644 %(a)s %(a)s R100\told name\t"n\\303\\251w\\"name"
:100644 000000 %(a)s 0000000000000000000000000000000000000000 D\tgone
:160000 160000 %(a)s %(b)s M\tother

diff --git a/app.py b/app.py
index aaaa..bbbb 100644
--- a/app.py
+++ b/app.py
@@ -2,2 +2 @@ def f():
-@@ -1 +1 @@
-diff --git a/x b/x
+commit:not
@@ -7,0 +7,2 @@
+one
+two
@@ -9 +10 @@
-last
\\ No newline at end of file
+end
\\ No newline at end of file
diff --git a/old name b/n
similarity index 100%%
diff --git a/gone b/gone
deleted file mode 100644
@@ -1,3 +0,0 @@
-1
-2
-3
diff --git a/other b/other
@@ -1 +1 @@
-Subproject commit aaa
+Subproject commit bbb
commit:%(two)s
""" % {b"one": b"1" * 40, b"two": b"2" * 40, b"a": A, b"b": B}


def test_a_log_is_read():
    first, second = patches([LOG])
    assert (first.commit, second.commit, second.changes) == (b"1" * 40, b"2" * 40, ())
    app, renamed, gone, other = first.changes
    assert (app.status, app.path, app.source, app.blob, app.regular) == ("M", b"app.py", b"app.py", B, True)
    told = [(h.old, h.removed, h.new, h.added.tolist()) for h in app.hunks]
    assert told == [(1, 2, 1, [11]), (7, 0, 6, [4, 4]), (8, 1, 9, [3])]
    assert (renamed.status, renamed.source, renamed.path) == ("R", b"old name", 'néw"name'.encode())
    assert renamed.hunks == () and gone.status == "D" and not other.regular


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_chunks_may_end_anywhere(size):
    chunks = [LOG[start : start + size] for start in range(0, len(LOG), size)]
    whole, pieces = list(patches([LOG])), list(patches(chunks))
    assert [p.commit for p in pieces] == [p.commit for p in whole]
    assert [[h.added.tolist() for h in c.hunks] for p in pieces for c in p.changes] == [
        [h.added.tolist() for h in c.hunks] for p in whole for c in p.changes
    ]


@pytest.mark.parametrize(
    ("name", "path"),
    [(b"plain", b"plain"), (b'"a\\tb"', b"a\tb"), (b'"\\\\\\""', b'\\"'), (b'"\\377\\001"', b"\xff\x01")],
)
def test_quoted_names_are_unquoted(name, path):
    assert unquoted(name) == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"nothing of git\n", "no log with patches"),
        (b"commit:1\n:100644 M\tx\n", "cannot be read"),
        (b"commit:1\n\n:100644 100644 a b M\tx\ndiff --git a/x b/x\n@@ -x @@\n", "cannot be read"),
        (b"commit:1\n\ndiff --git a/x b/x\n", "more texts than changes"),
    ],
)
def test_what_is_no_patch_is_refused(text, message):
    with pytest.raises(Misuse, match=message):
        list(patches([text]))


@pytest.mark.parametrize(
    "damage",
    [
        (b"diff --git a/app.py b/app.py\n", b""),
        (b"@@ -7,0 +7,2 @@", b"@@ -7,0 +7,99 @@"),
        (b"@@ -7,0 +7,2 @@", b"@@ -7,0 +" + b"7" * 5000 + b",2 @@"),
        (b"\ndiff --git a/app.py", b"\n@@ -1 +1 @@\ndiff --git a/app.py"),
    ],
    ids=["no file", "cut short", "a number of 5,000 digits", "before any file"],
)
def test_a_damaged_log_is_refused(damage):
    with pytest.raises(Misuse):
        list(patches([LOG.replace(*damage)]))


def test_odd_letters_are_told_as_they_can_be():
    (patch, _) = patches([LOG.replace(b" M\tapp.py", b" \xe6\tapp.py")])
    assert patch.changes[0].status == "\ufffd"
    assert unquoted(b'"a\\777"') == b"a\\777"
    with pytest.raises(Misuse, match="more texts"):
        list(
            patches(
                [LOG.replace(b"1" * 40, b"\x9b" * 40).replace(b"commit:" + b"2" * 40, b"diff --git a/x b/x")]
            )
        )


@pytest.mark.parametrize(
    "text", [b"+\n-\n", b"\n" + LOG, b"+x\n" + LOG], ids=["content", "empty line", "line"]
)
@pytest.mark.parametrize("size", [3, 10_000])
def test_a_log_begins_with_a_commit_however_it_comes(text, size):
    with pytest.raises(Misuse, match="no log with patches"):
        list(patches(text[at : at + size] for at in range(0, len(text), size)))


def test_a_commit_has_a_name():
    with pytest.raises(Misuse, match="no name"):
        list(patches([LOG + b"commit:\ncommit:3\n"]))
