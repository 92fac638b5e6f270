"""What the records of a search add up to at any moment."""

import pytest

from made_advice import going, over
from tradewind.session.advise_records import History


def test_the_records_say_how_far_it_is():
    history, ended = going(), over()
    assert history.begun is None and history.suggested is None and history.over is None
    assert [each.status for each in history.probes] == ["done", "failed", "done", "stopped"]
    assert history.spent == pytest.approx((100 + 2 * 25 + 3 * 40 + 4 * 60) / 3600)
    assert history.left == pytest.approx(1 - history.spent) and ended.over is not None
    view = history.view
    assert [run.configuration for run in view.runs] == [0, 1, 2, 3] and view.current == 0
    assert view.budget == pytest.approx(1 - 10 / 3600), "what was interrupted is off the budget"
    torn = History(history.asked, history.records[:5])
    assert torn.begun is not None and torn.begun.configuration == "b" and torn.suggested is not None
