"""A source that is absent, broken, undated or too old clears nobody."""

from __future__ import annotations

from msgspec.structs import replace

from tradewind.audit.vulnerabilities.advisories import Advisory
from tradewind.audit.vulnerabilities.sources import Database, Source, moment_of, newest

NOW = moment_of("2026-11-01")
assert NOW is not None
WHOLE = Source(name="dump", as_of="2026-10-20T00:00:00Z", covers=("PyPI", "Debian"))


def cleared(*sources: Source, ecosystem: str = "PyPI", days: float = 30.0) -> tuple[str, str]:
    assert NOW is not None
    return Database((source, ()) for source in sources).cleared(ecosystem, "x", "1.0", NOW, days)


def test_a_fresh_and_complete_source_clears() -> None:
    assert cleared(WHOLE) == ("dump", "")
    assert cleared(WHOLE, ecosystem="Debian:12") == ("dump", "")
    assert cleared(Source(name="list", as_of="2026-10-31"), WHOLE) == ("dump", "")


def test_none_clears_without_a_source_a_date_or_in_time() -> None:
    assert cleared() == ("", "no source tells all about PyPI")
    assert cleared(WHOLE, ecosystem="") == ("", "no source tells all about this kind of package")
    assert cleared(Source(name="overlay", as_of="2026-10-31")) == ("", "no source tells all about PyPI")
    assert cleared(replace(WHOLE, as_of="")) == ("", "dump has no date")
    name, why = cleared(WHOLE, days=3)
    assert name == ""
    assert "12 days" in why
    assert cleared(replace(WHOLE, as_of="2020-01-01"), replace(WHOLE, name="new")) == ("new", "")


def test_one_that_cannot_be_read_keeps_the_others_from_clearing() -> None:
    broken = Source(name="mine", trouble="cannot be read")
    assert cleared(WHOLE, broken) == ("", "mine: cannot be read")
    elsewhere = replace(broken, covers=("Debian",))
    assert cleared(WHOLE, elsewhere) == ("dump", "")
    assert cleared(WHOLE, elsewhere, ecosystem="Debian:12")[0] == ""


def test_a_result_clears_what_it_looked_at() -> None:
    result = Source(name="pip-audit", as_of="2026-10-31", examined=(("PyPI", "x", "1.0"),))
    assert cleared(result) == ("pip-audit", "")
    assert cleared(replace(result, examined=(("PyPI", "x", "1.1"),)))[0] == ""


def test_a_database_grows_and_is_asked_by_family() -> None:
    mine = Advisory("A-1", "Debian", "expat")
    database = Database([(WHOLE, [mine])]).with_source(
        Source(name="more"), [Advisory("A-2", "Debian:12", "expat")]
    )
    told = database.about("Debian:12", "expat")
    assert [(each.advisory.id, each.source) for each in told] == [("A-2", "more"), ("A-1", "dump")]
    assert [each.advisory.id for each in database.about("Debian", "expat")] == ["A-1"]
    scanned = Source(name="trivy", as_of="2026-10-31", examined=(("Ubuntu:24.04", "x", "1.0"),))
    lasting = Database([(scanned, [Advisory("A-3", "Ubuntu:24.04", "expat")])])
    assert [each.advisory.id for each in lasting.about("Ubuntu:24.04:LTS", "expat")] == ["A-3"]
    assert lasting.about("Ubuntu:22.04:LTS", "expat") == ()
    assert cleared(scanned, ecosystem="Ubuntu:24.04:LTS") == ("trivy", "")
    assert [source.name for source in database.sources] == ["dump", "more"]


def test_dates() -> None:
    assert moment_of("1970-01-02") == 86_400
    assert moment_of("1970-01-01T01:00:00+01:00") == 0
    assert moment_of("yesterday") is None
    assert newest(["2024-10-10", "", "2025-01-01T00:00:00Z", "x"]) == "2025-01-01T00:00:00Z"
    assert newest([]) == ""
    assert Source(name="x").days(0.0) is None
