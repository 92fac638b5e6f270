"""A search as its records tell it, for tests of what is made of them."""

from tradewind.advice.configuration.advisors import advisor
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.recommendation import recommended
from tradewind.advice.configuration.space import Configuration
from tradewind.session.advise_records import Asked, Begun, Ended, History, Over, Suggested
from tradewind.session.advise_spec import AdviseSpec

CHOSEN = advisor("exhaustive")
RUNS = (
    ("a", "done", 100.0), ("b", "interrupted", 5.0), ("b", "failed", 20.0), ("c", "done", 40.0),
    ("d", "stopped", 60.0),
)  # fmt: skip


def going():
    """Five candidates from a, the smallest, on; e was never tried."""
    those = tuple(
        Configuration(name, 1.0 + number, {"machines": number + 1, "vcpus": 2.0})
        for number, name in enumerate("abcde")
    )
    spec = AdviseSpec(
        name="<job>", command=("true",), current="a", objective=Objective(deadline=90.0), budget=1.0
    )
    found = History(Asked(version="0", spec=spec, configurations=those, told="in <words>"))
    prices = {each.name: each.per_hour for each in those}
    for place, (name, status, seconds) in enumerate(RUNS):
        if found.suggested is None:
            found = found.and_then(Suggested(configuration=name, reason=f"because {place}"))
        attempt = f"{place}"
        found = found.and_then(Begun(attempt=attempt, configuration=name, at=0.0))
        dollars = prices[name] * seconds / 3600
        found = found.and_then(
            Ended(
                attempt=attempt,
                configuration=name,
                at=1.0,
                status=status,
                seconds=seconds,
                dollars=dollars,
                words="<b>no</b>" if status == "failed" else "",
                seen={"cpu_user": 0.5},
            )
        )
    return found


def over():
    history = going()
    return history.and_then(
        Over(at=2.0, reason="It is <enough>.", recommendation=recommended(history.view, CHOSEN))
    )
