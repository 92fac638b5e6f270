"""Provisioning policies by their names, for specs, command lines and whoever rather says a word."""

from __future__ import annotations

import inspect
from typing import Any

from tradewind.errors import Misuse, suggestion
from tradewind.serving.provisioning.fixed import Fixed
from tradewind.serving.provisioning.interface import ProvisioningPolicy
from tradewind.serving.provisioning.knative import Knative
from tradewind.serving.provisioning.mark import Mark
from tradewind.serving.provisioning.ray_serve import RayServe
from tradewind.serving.provisioning.spothedge import SpotHedge
from tradewind.serving.provisioning.target_tracking import TargetTracking
from tradewind.serving.provisioning.tradewind import Tradewind
from tradewind.serving.provisioning.tributary import Tributary

DEFAULT = "tradewind"
POLICIES: dict[str, type[Any]] = {
    "tradewind": Tradewind,
    "target_tracking": TargetTracking,
    "knative": Knative,
    "ray": RayServe,
    "mark": Mark,
    "tributary": Tributary,
    "spothedge": SpotHedge,
    "fixed": Fixed,
}
"""Every policy by its name."""
FORESEEING = frozenset({"tradewind", "tributary", "tributary_correlated"})
"""Those that reckon with forecasts of the market, by the names that they give themselves."""


def provisioning_policy(name: str = DEFAULT, **options: Any) -> ProvisioningPolicy:
    """The policy of that name, with the options of its class.

    Misuse, with a suggestion, for a name or an option that there is not, and for a bad value.
    """
    kind = POLICIES.get(name.replace("-", "_"))
    if kind is None:
        raise Misuse(
            f"no provisioning policy {name!r}", source="provisioning", field="policy",
            fix=suggestion(name, POLICIES),
        )  # fmt: skip
    known = [each for each in inspect.signature(kind.__init__).parameters if each != "self"]
    for option in options:
        if option not in known:
            raise Misuse(
                f"no option {option!r}", source=f"policy {name}", field=option, fix=suggestion(option, known)
            )
    try:
        found: ProvisioningPolicy = kind(**options)
    except (TypeError, AttributeError) as problem:
        raise Misuse(
            f"a value does not fit: {problem}", source=f"policy {name}", field=", ".join(options),
            fix="See the options of the policy.",
        ) from problem  # fmt: skip
    return found
