"""A small space of clusters, and runs on it, that the tests of advisors share."""

from tradewind.advice.configuration.interface import AdvisingView
from tradewind.advice.configuration.objective import Objective
from tradewind.advice.configuration.runs import Run
from tradewind.advice.configuration.space import Configuration, ConfigurationSpace

SIZES = {"small": (2, 4.0, 0.1), "large": (8, 16.0, 0.4), "memory": (4, 32.0, 0.3)}
"""vCPUs, GiB and dollars an hour of one machine."""


def clusters(counts=(1, 2, 4, 8)):
    return ConfigurationSpace(
        tuple(
            Configuration(
                f"{count}x{name}",
                count * price,
                {"machines": count, "vcpus": vcpus, "memory_gib": memory, "family": name},
            )
            for name, (vcpus, memory, price) in SIZES.items()
            for count in counts
        )
    )


SPACE = clusters()


def measured(number, seconds, status="done", space=SPACE, **seen):
    return Run(number, seconds, space[number].per_hour * seconds / 3600, status, seen)


def world(space=SPACE, work=20_000.0, needs=24.0):
    """Runs on every configuration: Amdahl's law by vCPUs, and a failure where memory in all is short."""
    found = {}
    for number, each in enumerate(space.configurations):
        machines, vcpus = each.features["machines"], each.features["vcpus"]
        if machines * each.features["memory_gib"] < needs:
            found[number] = measured(number, 60.0, "failed", space)
        else:
            found[number] = measured(number, 100.0 + work / (machines * vcpus) ** 0.9, space=space)
    return found


def view(*runs, **fields):
    return AdvisingView(SPACE, Objective(), runs, **fields)
