import numpy as np
import pytest

from tradewind.errors import Misuse
from tradewind.estimates.scale_out.timings import Timings


def test_points_are_distinct_pairs_of_machines_and_scale() -> None:
    timings = Timings.of([2, 2, 4, 4], [9, 8, 5, 3], [1, 1, 1, 2])
    assert timings.points.tolist() == [0, 0, 1, 2]
    assert timings.pressure.tolist() == [0.5, 0.5, 0.25, 0.5]
    part = timings.where(timings.machines > 2)
    assert len(part) == 2 and part.seconds.tolist() == [5, 3]


def test_one_scale_stands_for_all() -> None:
    assert Timings.of([1, 2], [3, 2], 7).scale.tolist() == [7, 7]


@pytest.mark.parametrize(
    ("machines", "seconds", "scale", "field"),
    [
        ([], [], 1, "machines"),
        ([1, 2], [3], 1, "machines"),
        ([1, 0], [3, 2], 1, "machines"),
        ([1, 2], [3, np.nan], 1, "seconds"),
        ([1, 2], [3, 2], -1, "scale"),
        ([1, 2], [3, 2], [1, 2, 3], "scale"),
    ],
)
def test_what_cannot_be_is_refused(machines, seconds, scale, field) -> None:
    with pytest.raises(Misuse, match=field):
        Timings.of(machines, seconds, scale)
