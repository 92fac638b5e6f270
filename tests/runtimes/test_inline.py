import signal

from tradewind.market.leases import Lease
from tradewind.runtimes.inline import InlineRuntime
from tradewind.testing.runtimes import RuntimeLaws, leased


class TestInlineRuntime(RuntimeLaws):
    # A thread has no address that could fail to answer.
    test_clause_1_an_address_that_does_not_answer_is_unreachable_in_time = None
    test_clause_1_a_task_that_could_not_be_started_may_be_started_elsewhere = None
    # It is no process: nothing can be sent to it, and nothing can kill or freeze it but this process's end.
    test_clause_2_a_task_that_was_killed_has_failed = None
    test_clause_3_a_notice_asks_every_task_to_leave_and_the_instance_goes_on_answering = None
    test_clause_3_a_notice_to_an_instance_that_starts_is_not_missed = None
    test_clause_4_tasks_are_lost_when_their_instance_is_killed = None
    test_clause_4_a_silent_instance_is_not_lost = None

    def runtime(self, patience: float = 20.0) -> InlineRuntime:
        return InlineRuntime()

    def instance(self) -> Lease:
        return leased("here", "")

    def unreachable(self) -> Lease:
        raise AssertionError("a thread is always reached")

    def signal(self, lease: Lease, number: signal.Signals) -> None:
        raise AssertionError("a thread takes no signals")
