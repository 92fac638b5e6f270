"""Our own policy: the cheapest capacity, as much of it as the promise leaves no way around.

A promise that 99 of 100 requests are answered in time lets one be missed, and what it would cost to answer
the last one is many times what the others cost. So the policy keeps accounts. From the forecast's
distribution and the burstiness of the arrivals it reckons how many requests a fleet would miss (`misses`),
and takes the least capacity that misses as many as the account allows: fewer after a bad stretch, more after
a good one. Which machines: those whose request is expected to cost the least with refunds, start-ups and
revocations reckoned in (`spot_prospects`), on spot or on demand. When to end one: where it is billed by the
hour, only as its hour ends; by the second, once it will not be needed again before another could be ready.

Where hours are bought whole, a peak of some minutes is dear to serve and few requests of the day to miss;
where seconds are billed, so is one of a minute, for the start-up is paid as well. So a replica is added, and
its next hour bought, only where it would answer what were missed without it in a certain part of that hour,
or of the next ten minutes (`misses.worthwhile`). Which part is up to the account: it doubles for every third
of a period's allowance that is left over, and halves for every third that is overdrawn. The period is long
against a flash crowd: what one costs in misses is made up over a quarter of a day, where it is cheap, and
not in the hour after it, where every hour bought stands idle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tradewind.errors import Misuse
from tradewind.market.decisions import Action, Decision
from tradewind.market.offers import Terms
from tradewind.serving.provisioning.fleet import HOUR, Fleet, Held, checked, counted, released
from tradewind.serving.provisioning.interface import ServingView
from tradewind.serving.provisioning.misses import dispersion, mean_of, needed, rates_of, worthwhile
from tradewind.serving.provisioning.spot_prospects import Prospect, prospects

_EDGE = 12.0
"""Seconds before the end of a paid unit at which it is decided whether there is a next."""
_LEAST, _MOST = 0.1, 10.0
"""Bounds of what is allowed for now, in parts of what is allowed on the whole."""
_DOUBLED = 1 / 3
"""The part of what a period allows: who has so much left over asks for twice the use of an hour."""
_STAY = 600.0
"""Seconds in which a replica must be of use to be added, where it is billed by the second."""
_RETURNS = 3.0
"""How many times `gain` it takes where hours are billed whole: a price that rose is often back within the
hour, and the way back costs another start-up."""
_LOCKED = 1.5
"""How many times `rounding` must be missing there: an hour that was bought for little is not given back."""
_IDLEST, _BUSIEST = 0.02, 0.9
"""Bounds of the part of that time that is asked for."""


class Tradewind:
    """Holds what the account of missed requests asks for, where it is the cheapest.

    `aim` is the part of the share that may be missed which it plans to miss. `notice` is the seconds of
    warning before a revocation that the market gives. `gain` is the share by which a request must be cheaper
    elsewhere before a replica moves, three times that where hours are billed whole; `rounding` the part of a
    replica that must be missing before one is added, half as much again where hours are billed whole; `use`
    times `aim` the part of an hour in which a replica must answer what were missed without it for the hour to
    be bought, while the account is even; `period` the seconds of load over which a surplus or a deficit of
    the account is made up: a run that is much shorter may end with either. With `low_bids` it also bids
    little above the price where the provider refunds the hour that it cuts short. That is off, for on
    recorded prices it costs more: the low hours are cut short as a peak of the price begins, and those that
    are bought instead, at the top of it, last and are paid. Needs a forecast of the load, and without an
    outlook of the market takes spot for safe.
    """

    name = "tradewind"
    overflow = False

    def __init__(
        self,
        aim: float = 0.8,
        notice: float = 120.0,
        gain: float = 0.1,
        rounding: float = 0.5,
        use: float = 0.5,
        period: float = 6 * HOUR,
        low_bids: bool = False,
        forecaster: str = "seasonal_regression",
    ) -> None:
        self.aim = checked(self.name, "aim", aim, 0.01, 1.0)
        self.notice = checked(self.name, "notice", notice, 0.0)
        self.gain = checked(self.name, "gain", gain, 0.0)
        self.rounding = checked(self.name, "rounding", rounding, 0.0, 1.0)
        self.use = checked(self.name, "use", use, _IDLEST, _BUSIEST)
        self.period = checked(self.name, "period", period, 60.0)
        self.low_bids, self.forecaster = low_bids, forecaster

    def recall(self) -> None:
        """It remembers nothing: the view's account says how it went."""

    def decide(self, view: ServingView, memory: None) -> tuple[Decision, None]:
        """Add what will be missing once it could be ready, end what will not be needed."""
        if view.forecast is None:
            raise Misuse(
                "reckons with a forecast of the load, and nobody makes one", source=f"policy {self.name}",
                field="forecaster", fix="Give the run a load forecaster.",
            )  # fmt: skip
        return _Deciding(self, view).decide(), None


class _Deciding:
    """One decision."""

    def __init__(self, policy: Tradewind, view: ServingView) -> None:
        assert view.forecast is not None
        self.policy, self.view, self.fleet = policy, view, Fleet(view)
        self.now, self.startup = view.now, view.startup
        self.forecast = view.forecast
        self.interval = view.forecast.interval
        self.slack = max(0.02, view.objective.latency - max(each.service for each in view.profiles))
        self.spread = dispersion(view.traffic)
        self.rates = rates_of(view.forecast)
        self.whole = (1.0 - view.objective.share) * policy.aim
        self.rate = float(np.mean(view.traffic.rates)) if view.traffic.rates else 0.0
        self.saved = self.whole * view.requests - view.missed
        self.allowed = self._allowed()
        self.starts = view.forecast.at + self.interval * np.arange(len(self.rates))
        self.hourly = {
            terms: view.market.tariff(terms).unit >= HOUR for terms in (Terms.SPOT, Terms.ON_DEMAND)
        }
        self.whole_hours = all(self.hourly.values())
        self.rounding = min(1.0, policy.rounding * (_LOCKED if self.whole_hours else 1.0))

    def _allowed(self) -> float:
        """The share of requests that may be missed from now on."""
        share = self.whole + self.saved / max(self.rate * self.policy.period, 1.0)
        return min(max(share, _LEAST * self.whole), _MOST * self.whole)

    @cached_property
    def needed(self) -> NDArray[np.float64]:
        """What is needed in each interval to come, with no more doubt than there is of the next that can be
        acted upon: of what comes later there is time to learn more."""
        lead = min(len(self.rates), math.ceil(self.startup / self.forecast.interval) + 2)
        near = needed(self.rates[:lead], self.allowed, self.slack, self.spread)
        mean = np.maximum(mean_of(self.rates), 1e-9)
        return np.concatenate((near, mean[lead:] * near[-1] / mean[lead - 1]))

    @cached_property
    def _use(self) -> float:
        """The part of an hour in which a replica must be of use for the hour to be bought."""
        over = self.saved / max(self.whole * self.rate * self.policy.period * _DOUBLED, 1.0)
        even = self.policy.use * self.policy.aim
        return min(max(even * math.exp2(min(max(over, -10.0), 10.0)), _IDLEST), _BUSIEST)

    def _worthwhile(self, first: float, seconds: float) -> float:
        """The capacity that is worth so many seconds from that moment on."""
        part = self._between(first, first + seconds)
        return worthwhile(self.rates[part], self._use, self.slack, self.spread)

    def _between(self, first: float, last: float) -> slice:
        """The intervals of the forecast that touch [first, last]; at least one."""
        low = int((first - self.forecast.at) // self.interval)
        high = math.ceil((last - self.forecast.at) / self.interval)
        low = min(max(low, 0), len(self.rates) - 1)
        return slice(low, min(max(high, low + 1), len(self.rates)))

    def decide(self) -> Decision:
        """What to add, what to end, and when to look again."""
        reach = self.now + self.startup
        ahead = self._between(reach, reach + self.interval)
        staying = list(self.fleet.staying)
        cheap = self._prospects()
        if self.whole_hours:
            want = self._worthwhile(reach, HOUR)
        else:
            want = min(float(self.needed[ahead].max()), self._worthwhile(reach, _STAY))
        short = want - sum(each.rate for each in staying)
        fresh, words = self._added(cheap, short)
        moved, more = self._moved(cheap, staying, short, bool(fresh))
        ending, fewer = self._ended(staying)
        actions = fresh + moved + released(ending)
        words += more + fewer
        if not words:
            words.append(
                f"{counted(len(staying))} for {want:.1f} requests a second: "
                f"{100 * self.allowed:.2f} % may be missed."
            )
        return Decision(tuple(actions), " ".join(words), self._wake(staying, ending))

    def _wake(self, staying: Sequence[Held], ending: Sequence[Held]) -> float:
        wake = self.now + self.interval
        gone = {each.lease.id for each in ending}
        for each in staying:
            if each.lease.id not in gone and self.hourly.get(each.lease.terms, False):
                for before in (self.startup + _EDGE, _EDGE - 2.0):
                    if each.paid_until - before > self.now + 1.0:
                        wake = min(wake, each.paid_until - before)
                        break
        return wake

    # what it runs on

    def _prospects(self) -> list[Prospect]:
        tariffs = {
            True: self.view.market.tariff(Terms.SPOT), False: self.view.market.tariff(Terms.ON_DEMAND)
        }  # fmt: skip
        ways = [each for each in self.fleet.ways if not (each.spot and each.offer.pool in self.fleet.shunned)]
        gap = max(0.0, self.startup - self.policy.notice)
        found = prospects(
            ways, self.view.outlook, tariffs, startup=self.startup,
            move=self.startup + 5.0 * gap, hold=2 * HOUR,
        )  # fmt: skip
        return found if self.policy.low_bids else [each for each in found if each.limit is None]

    def _added(self, cheap: Sequence[Prospect], short: float) -> tuple[list[Action], list[str]]:
        """The cheapest replicas for what is missing; the last one may be of a smaller type."""
        taken: dict[int, int] = {}
        left = short
        while left > 0 and cheap:
            room = [
                index
                for index, each in enumerate(cheap)
                if each.way.offer.available is None or taken.get(index, 0) < each.way.offer.available
            ]
            if not room:
                break
            best = room[0]
            if left < cheap[best].way.rate:
                # The last one: the cheapest of those that are large enough, if it is worth it at all.
                enough = [at for at in room if cheap[at].way.rate * (1 + self.rounding) >= left]
                best = min(enough or [best], key=lambda at: (cheap[at].unit * cheap[at].way.rate, at))
                if left < self.rounding * cheap[best].way.rate:
                    break
            count = max(1, int(left / cheap[best].way.rate))
            available = cheap[best].way.offer.available
            if available is not None:
                count = min(count, available - taken.get(best, 0))
            taken[best] = taken.get(best, 0) + count
            left -= count * cheap[best].way.rate
        actions: list[Action] = []
        words: list[str] = []
        for index, count in taken.items():
            each = cheap[index]
            actions.append(each.way.take(count, each.limit))
            words.append(
                f"{counted(count)} more on {each.way.offer.terms} in {each.way.offer.pool} at "
                f"{each.way.price:.4f} USD an hour, {short:.1f} requests a second being short."
            )
        return actions, words

    def _moved(
        self, cheap: Sequence[Prospect], staying: Sequence[Held], short: float, adding: bool
    ) -> tuple[list[Action], list[str]]:
        """Replicas that take the place of dearer ones, which end once these are ready."""
        if not cheap or adding:
            return [], []
        best = cheap[0]
        price = best.unit * (1 + self.policy.gain * (_RETURNS if self.whole_hours else 1.0))
        dear = [each for each in staying if self._open(each, self.startup + _EDGE) and each.rate > 0]
        dear = [each for each in dear if each.price / each.rate > price and each.ready <= self.now]
        swap = sum(each.rate for each in dear) + min(short, 0.0)
        count = round(swap / best.way.rate)
        room = best.way.offer.available
        count = count if room is None else min(count, room)
        if count < 1:
            return [], []
        words = f"{counted(count)} in {best.way.offer.pool} for dearer ones."
        return [best.way.take(count, best.limit)], [words]

    def _open(self, held: Held, before: float) -> bool:
        """Whether a lease can be ended without paying for what is not used."""
        return not self.hourly.get(held.lease.terms, False) or held.paid_until - self.now <= before

    def _ended(self, staying: Sequence[Held]) -> tuple[list[Held], list[str]]:
        """What will not be needed again before another could be ready, the dearest first."""
        order = sorted(
            (each for each in staying if self._open(each, _EDGE)),
            key=lambda each: (-each.price / max(each.rate, 1e-9), -each.lease.started, each.lease.id),
        )
        ending: list[Held] = []
        if not order:
            return ending, []
        soon = self._between(self.now, self.now + 2 * self.startup + self.interval)
        hour = self._between(self.now, self.now + HOUR)
        capacity = self._capacity(hour)
        worth = self._worthwhile(self.now, HOUR) if any(self.hourly.values()) else 0.0
        for each in order:
            without = capacity - np.where(self.starts[hour] + self.interval > each.ready, each.rate, 0.0)
            most = self.rounding * each.rate
            if self.hourly.get(each.lease.terms, False):
                fine = worth - float(without.mean()) <= most
            else:
                fine = not (self.needed[soon] - without[: soon.stop - soon.start] > most).any()
            if fine:
                ending.append(each)
                capacity = without
        if not ending:
            return ending, []
        return ending, [f"{counted(len(ending))} will not be needed before others could be ready."]

    def _capacity(self, part: slice) -> NDArray[np.float64]:
        """What those held sustain throughout each interval."""
        total = np.zeros(part.stop - part.start)
        starts = self.starts[part]
        for each in self.fleet.held:
            total += np.where(
                (each.ready <= np.maximum(starts, self.now)) & (each.due > starts + self.interval),
                each.rate,
                0.0,
            )
        return total
