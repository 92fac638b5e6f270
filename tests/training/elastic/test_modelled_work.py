"""The model of work: its progress against sums done by hand, in virtual time."""

import asyncio

import pytest

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.market.instances import Instance, InstanceType
from tradewind.market.leases import Lease, LeaseId, Revocation
from tradewind.market.offers import Terms
from tradewind.market.resources import Resources
from tradewind.training.elastic.modelled_work import ModelledWork
from tradewind.training.elastic.work import STATE, WORK, Finished


def lease(name, vcpus=4.0, purpose=WORK):
    kind = InstanceType("type", Resources(vcpus=vcpus))
    return Lease(LeaseId(name), Instance(name, kind, "zone"), Terms.SPOT, clock.now(), purpose=purpose)


def simulated(main):
    return clock.simulate(main, start=1000.0)


def test_work_is_vcpu_seconds_after_the_start_up():
    async def main():
        work = ModelledWork(1e9, 10.0, startup=30.0)
        await work.open()
        work.join(lease("s", purpose=STATE))
        work.join(lease("a", 4.0))
        await clock.sleep_until(1100.0)
        work.join(lease("b", 2.0))
        await clock.sleep_until(1200.0)
        # a worked from 1030, b from 1130.
        assert work.progress().done == pytest.approx(10 * (4 * 170 + 2 * 70))
        assert work.loss() is None
        assert work.progress().startup == 30.0

    simulated(main())


def test_nothing_is_done_without_the_servers():
    async def main():
        work = ModelledWork(1e9, 1.0)
        await work.open()
        work.join(lease("a"))
        await clock.sleep_until(1100.0)
        assert work.progress().done == 0
        work.join(lease("s", purpose=STATE))
        await clock.sleep_until(1200.0)
        assert work.progress().done == pytest.approx(400)

    simulated(main())


def test_the_end_is_told_at_its_moment():
    async def main():
        work = ModelledWork(1000.0, 1.0, startup=10.0)
        await work.open()
        change = asyncio.create_task(work.next_change())
        work.join(lease("s", purpose=STATE))
        work.join(lease("a", 4.0))
        await clock.sleep_until(1060.0)
        work.join(lease("b", 4.0))  # works from 1070: 240 done, 760 left at 8 a second
        assert await change == Finished()
        return clock.now()

    assert simulated(main()) == pytest.approx(1070 + 95)


def test_cancelling_loses_no_change():
    async def main():
        work = ModelledWork(100.0, 1.0)
        await work.open()
        work.join(lease("s", purpose=STATE))
        work.join(lease("a", 1.0))
        for _ in range(7):
            waiting = asyncio.create_task(work.next_change())
            await clock.sleep_until(clock.now() + 9)
            waiting.cancel()
            await asyncio.wait([waiting])
        await clock.sleep_until(5000.0)
        assert await work.next_change() == Finished()
        assert work.progress().done == 100.0

    simulated(main())


@pytest.mark.parametrize(("notice", "undone"), [(None, 8.0), (1.0, 8.0), (120.0, 0.0)])
def test_an_elastic_loss_costs_the_clock_in_flight_at_most(notice, undone):
    async def main():
        work = ModelledWork(1e9, 1.0, clock_seconds=2.0, snapshot_every=10.0)
        await work.open()
        for each in (lease("s", purpose=STATE), lease("a", 2.0), lease("b", 2.0)):
            work.join(each)
        await clock.sleep_until(1100.0)
        if notice is not None:
            work.warn(Revocation(LeaseId("a"), 1100.0, 1100.0 + notice))
            await clock.sleep_until(1100.0 + notice)
        before = work.progress().done
        work.lost(LeaseId("a"))
        work.lost(LeaseId("a"))
        assert before - work.progress().done == pytest.approx(undone)
        assert work.redone == pytest.approx(undone)
        assert work.losses == 1
        begun = clock.now(), work.progress().done
        await clock.sleep_until(begun[0] + 50)
        assert work.progress().done == pytest.approx(begun[1] + 100)  # b alone

    simulated(main())


def test_the_loss_of_the_servers_goes_back_to_the_snapshot():
    async def main():
        work = ModelledWork(1e9, 1.0, snapshot_every=40.0)
        await work.open()
        for each in (lease("s", purpose=STATE), lease("a", 1.0)):
            work.join(each)
        await clock.sleep_until(1100.0)
        assert (work.progress().done, work.progress().saved) == (pytest.approx(100), pytest.approx(80))
        work.lost(LeaseId("s"))
        assert work.progress().done == pytest.approx(80)
        await clock.sleep_until(1200.0)
        assert work.progress().done == pytest.approx(80)

    simulated(main())


def test_a_lease_lost_during_start_up_undoes_nothing():
    async def main():
        work = ModelledWork(1e9, 1.0, startup=60.0)
        await work.open()
        for each in (lease("s", purpose=STATE), lease("a", 1.0)):
            work.join(each)
        await clock.sleep_until(1100.0)
        work.join(lease("b"))
        await clock.sleep_until(1110.0)
        done = work.progress().done
        work.lost(LeaseId("b"))
        work.lost(LeaseId("never joined"))
        assert work.progress().done == done == pytest.approx(50)
        assert work.losses == 0

    simulated(main())


def rigid(**options):
    return ModelledWork(
        1e9,
        1.0,
        mode="checkpoints",
        workers=2,
        startup=10.0,
        snapshot_every=100.0,
        snapshot_seconds=20.0,
        **options,
    )


def test_checkpoints_take_their_time_and_need_everybody():
    async def main():
        work = rigid()
        await work.open()
        work.join(lease("a", 1.0))
        await clock.sleep_until(1100.0)
        assert work.progress().done == 0
        work.join(lease("b", 1.0))  # both work from 1110
        await clock.sleep_until(1110.0 + 100 + 20 + 50)
        assert work.progress().done == pytest.approx(2 * 150)
        assert work.progress().saved == pytest.approx(2 * 100)

    simulated(main())


@pytest.mark.parametrize("heeds", [False, True])
def test_a_revocation_goes_back_to_the_last_checkpoint(heeds):
    async def main():
        work = rigid(heeds_notice=heeds)
        await work.open()
        for each in (lease("a", 1.0), lease("b", 1.0)):
            work.join(each)
        await clock.sleep_until(1010.0 + 100 + 20 + 50)
        work.warn(Revocation(LeaseId("a"), clock.now(), clock.now() + 20))
        await clock.sleep_until(clock.now() + 20)
        work.lost(LeaseId("a"))
        # Heeding it, the 20 seconds went into a checkpoint of the 300 units; else 40 more were done and lost.
        kept = 300 if heeds else 200
        assert work.progress().done == pytest.approx(kept)
        assert work.redone == pytest.approx(0 if heeds else 140)
        work.join(lease("c", 1.0))
        await clock.sleep_until(clock.now() + 10 + 5)
        assert work.progress().done == pytest.approx(kept + 2 * 5)

    simulated(main())


def test_a_planned_release_takes_a_checkpoint_first():
    async def main():
        work = rigid()
        await work.open()
        for each in (lease("a", 1.0), lease("b", 1.0)):
            work.join(each)
        await clock.sleep_until(1060.0)
        await work.drain(LeaseId("a"))
        assert work.progress().saved == work.progress().done == pytest.approx(100)
        await work.drain(LeaseId("never joined"))

    simulated(main())


def test_pause_keeps_what_is_done():
    async def main():
        work = ModelledWork(1e9, 1.0)
        await work.open()
        for each in (lease("s", purpose=STATE), lease("a", 1.0)):
            work.join(each)
        await clock.sleep_until(1033.0)
        await work.pause()
        await clock.sleep_until(2000.0)
        assert work.progress().saved == work.progress().done == pytest.approx(33)
        again = ModelledWork(1e9, 1.0, done=work.progress().done)
        await again.open()
        assert again.progress().done == pytest.approx(33)
        await work.close()

    simulated(main())


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 0.0},
        {"rate": -1.0},
        {"mode": "magic"},
        {"startup": -1.0},
        {"workers": 0},
        {"snapshot_every": 0.0},
    ],
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(Misuse):
        ModelledWork(**{"total": 1.0, "rate": 1.0, **wrong})


def test_a_cap_on_vcpus_lets_more_of_them_do_no_more():
    async def main():
        work = ModelledWork(1e9, 1.0, vcpus=6.0)
        await work.open()
        work.join(lease("s", purpose=STATE))
        work.join(lease("a", 4.0))
        await clock.sleep_until(1100.0)
        work.join(lease("b", 4.0))  # such as one that replaces another under notice
        await clock.sleep_until(1200.0)
        assert work.progress().done == pytest.approx(400 + 600)

    simulated(main())


def test_a_rigid_job_under_a_cap_is_whole_when_none_like_the_smallest_fits():
    async def main():
        work = ModelledWork(1e9, 1.0, mode="checkpoints", workers=512, vcpus=10.0)
        await work.open()
        work.join(lease("a", 4.0))
        await clock.sleep_until(1100.0)
        assert work.progress().done == 0
        work.join(lease("b", 4.0))
        await clock.sleep_until(1200.0)
        assert work.progress().done == pytest.approx(800)
        # Two vCPUs are left of the cap: with one of two there is a gap again.
        work.join(lease("c", 2.0))
        work.lost(LeaseId("c"))
        assert work.progress().done == 0

    simulated(main())
