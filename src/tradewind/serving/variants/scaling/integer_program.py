"""The integer program: the fleet of least cost that has room for every class.

Romero et al., "INFaaS", USENIX ATC 2021, formulate scaling as an integer program, too slow for them to be
solved online. Here: integers n_v >= 0 and

    minimise   sum_v price_v n_v + w sum_v load_v (n_v - now_v)+ + U sum_c u_c
    such that  sum_v x_cv + u_c = 1                                  for each class c
               sum_c x_cv rate_c (1 + headroom) / theta_cv <= n_v    for each variant v
               replicas and memory of each resource within its limit

where x_cv is the share of a class that a variant takes, so that a replica that several classes may use is
not counted for each of them, and u_c is the share that finds no room, dear enough to be the last resort.
HiGHS solves a few hundred unknowns in milliseconds, and to optimality.
"""

from __future__ import annotations

from tradewind.serving.variants.scaling.interface import Fleet, Plan, Programme


class IntegerProgram:
    """The rule. It remembers nothing: `load_weight` of the fleet is what keeps a plan from flapping."""

    name = "integer_program"

    def recall(self) -> None:
        """It remembers nothing."""

    def scale(self, fleet: Fleet, memory: None) -> tuple[Plan, None]:
        """The plan of least `Worth.total`."""
        values = Programme(fleet).best()
        replicas = {each.name: int(n) for each, n in zip(fleet.standings, values, strict=True)}
        changes = [
            f"{replicas[each.name] - each.replicas:+d} {each.name}"
            for each in fleet.standings
            if replicas[each.name] != each.replicas
        ]
        return Plan(replicas, ", ".join(changes) or "what stands costs least"), None
