"""The laws of measurers on a real Ray cluster on this machine."""

from collections.abc import Iterator

import pytest

from ray_clusters import SmallCluster, small_cluster
from tradewind.advice.measuring.interface import Measurer, Room
from tradewind.advice.measuring.ray import RayMeasurer
from tradewind.errors import Misuse
from tradewind.testing.measurers import MeasurerLaws


@pytest.fixture(scope="module")
def cluster() -> Iterator[SmallCluster]:
    yield from small_cluster()


class TestRay(MeasurerLaws):
    # A run on Ray costs the start of a worker, so the laws that `local` keeps for both are looked at there:
    # the actor measures with it.
    test_2_a_run_has_one_processor_if_it_is_given_one = None
    test_2_one_that_cannot_be_started_has_failed = None
    test_2_what_it_leaves_behind_ends_with_it = None
    test_2_one_that_fails_has_failed_and_its_last_words_are_kept = None
    # Its driver cannot be a fork of a process that is connected; the test below kills one of its own.
    test_3_nothing_runs_on_when_its_driver_is_killed = None
    # What it came to is on the driver's disk only once the driver has heard of it.
    test_3_an_attempt_that_ended_before_its_driver_was_killed_is_told_as_it_ended = None

    @pytest.fixture(autouse=True)
    def _connected(self, cluster: SmallCluster) -> None:
        self.cluster = cluster

    def make(self) -> Measurer:
        return RayMeasurer("auto")

    def test_several_machines_are_refused(self) -> None:
        with pytest.raises(Misuse, match="machines"):
            self.measurer.check("two", Room(1.0), 2)
