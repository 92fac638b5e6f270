"""Room on an instance, GPU by GPU."""

from tradewind.advice.renting.room import fullness, used_shares, whole
from tradewind.market.resources import Resources


def gpu(share, vcpus=1.0, kind=""):
    return Resources(vcpus=vcpus, memory_gib=1, gpus=share, gpu_kind=kind)


TWO = whole(Resources(vcpus=8, memory_gib=32, gpus=2, gpu_kind="T4"))


def test_shares_fill_one_device_before_the_next_and_do_not_span_two():
    room = TWO.without(gpu(0.5)).without(gpu(0.4))
    assert [round(free, 9) for free in room.devices] == [0.1, 1.0]
    assert room.fits(gpu(0.8)) and room.fits(gpu(1)) and not room.fits(gpu(2))
    room = room.without(gpu(0.5))
    assert room.gpus > 0.59 and not room.fits(gpu(0.6))
    assert room.fits(gpu(0.5)) and room.fits(gpu(0.0))


def test_whole_devices_are_taken_whole():
    assert TWO.without(gpu(2)).devices == (0.0, 0.0)
    assert not TWO.without(gpu(0.1)).fits(gpu(2))
    assert TWO.without(gpu(0.1)).without(gpu(1)).devices == (0.0, 0.9)


def test_cores_memory_and_the_kind_of_gpu_count():
    assert not TWO.fits(Resources(vcpus=8.1))
    assert not TWO.fits(Resources(memory_gib=33))
    assert TWO.fits(gpu(1, kind="T4")) and not TWO.fits(gpu(1, kind="V100"))
    assert not whole(Resources(vcpus=8, memory_gib=8)).fits(gpu(0.1))
    assert TWO.without(Resources(vcpus=8)).fits(Resources(memory_gib=32))


def test_shares_of_what_is_there():
    has = Resources(vcpus=8, memory_gib=32, gpus=2)
    assert fullness(Resources(vcpus=2, memory_gib=16, gpus=0.5), has) == 0.5
    assert fullness(Resources(gpus=1), Resources(vcpus=1)) == float("inf")
    assert used_shares(whole(has).without(Resources(vcpus=2, memory_gib=16, gpus=1)), has) == (0.25, 0.5, 0.5)
    assert used_shares(whole(Resources(vcpus=2)), Resources(vcpus=2)) == (0.0, 0.0, 0.0)
