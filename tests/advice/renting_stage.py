"""Views for tests of renters: instances, tasks on them and tasks that wait, made in a line each."""

import math

from tradewind.advice.renting.interface import Asked, Estimate, Held, Placed, RentingView
from tradewind.advice.renting.room import whole
from tradewind.market.instances import InstanceType
from tradewind.market.offers import Offer, Price, Terms
from tradewind.market.resources import Resources

NOW = 10_000.0


def offer(name, vcpus, price, gpus=0, memory=None):
    resources = Resources(
        vcpus=vcpus, memory_gib=memory or 4 * vcpus, gpus=gpus, gpu_kind="T4" if gpus else ""
    )
    return Offer(InstanceType(name, resources), "z", Price(price, Terms.ON_DEMAND), wait=90.0)


SMALL, LARGE, HUGE = offer("small", 2, 0.1), offer("large", 4, 0.2), offer("huge", 16, 0.8)


def asked(name, vcpus=1.0, seconds=600.0, spread=0.0, gpus=0.0, features=()):
    needs = Resources(vcpus=vcpus, memory_gib=vcpus, gpus=gpus)
    return Asked(name, needs, NOW, Estimate(seconds, spread), features)


def placed(name, vcpus=1.0, left=600.0, ran=100.0, gpus=0.0):
    """A task that has run for `ran` seconds, and has `left` by a sure estimate."""
    return Placed(asked(name, vcpus, ran + left, gpus=gpus), started=NOW - ran)


def held(name, kind, *tasks, launching=False):
    room = whole(kind.type.resources)
    for each in tasks:
        room = room.without(each.task.resources)
    ready = NOW + 60 if launching else NOW - 1000
    return Held(name, kind, NOW - 1100, ready, tasks, room, launching=launching)


def view(*instances, pending=(), offers=(SMALL, LARGE, HUGE), moving=60.0, measured=()):
    return RentingView(NOW, tuple(offers), tuple(instances), tuple(pending), 9, moving, (), measured)


def actions(renter, seen):
    return renter.decide(seen, renter.recall())[0].actions


INFINITE = math.inf
