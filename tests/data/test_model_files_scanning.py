"""One scan at work: findings kept once and printable, the budget taken from."""

import pytest

from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Allowed, Budget, Exhausted, Inspection, Source
from tradewind.data.model_files.scanning import Scanning

NOTE, BLOCK = Rule("a-note", "note", "x"), Rule("a-block", "blocked", "x")


def test_it_is_an_inspection():
    scanning: Inspection = Scanning(Allowed(), Budget())
    assert scanning.budget == Budget()


def test_findings_are_kept_once_and_printable():
    scanning, source = Scanning(Allowed(), Budget()), Source(b"", "a\x1b[2J\nb")
    for _ in range(3):
        scanning.found(
            BLOCK, "say\x07" + "x" * 900, source=source, offset=3, name="n\u202e", preview="\x00p" * 200
        )
    (found,) = scanning.findings
    text = found.message + found.where + found.name + found.preview
    assert text.isprintable() and len(found.preview) <= 120 and len(found.message) <= 300


def test_a_blocked_finding_is_never_lost_in_many():
    scanning = Scanning(Allowed(), Budget())
    for index in range(5000):
        scanning.found(NOTE, str(index), source=Source(b""))
    scanning.found(BLOCK, "last", source=Source(b""))
    assert len(scanning.findings) < 1000
    assert scanning.findings[-1].rule == "a-block"


@pytest.mark.parametrize("field", ["unpacked", "opcodes", "members"])
def test_the_budget_is_spent(field):
    scanning = Scanning(Allowed(), Budget(unpacked=5, opcodes=5, members=5))
    scanning.spend(**{field: 5})
    with pytest.raises(Exhausted):
        scanning.spend(**{field: 1})


def test_members_are_named_from_outside_to_inside():
    scanning = Scanning(Allowed(), Budget(depth=2))
    outer = Source(b"", "a.zip")
    assert scanning.inside(b"\xfe\xfe", "b", outer) == "unknown"
    assert scanning.findings[0].where == "a.zip!b"


def test_work_that_fails_is_told():
    scanning = Scanning(Allowed(), Budget())
    assert scanning.guarded(lambda: 3) == 3
    assert scanning.guarded(lambda: 1 // 0) is None
    assert scanning.guarded(lambda: scanning.spend(members=10**9)) is None
    assert [each.rule for each in scanning.findings] == ["scan-fault", "scan-budget"]
