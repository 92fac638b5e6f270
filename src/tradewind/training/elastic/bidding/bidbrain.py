"""BidBrain: bids that make the expected cost of a unit of work least, over everything that is held.

Proteus (Harlap et al., EuroSys 2017), section 4; the formulas are in `expected_cost`. What the paper calls an
allocation, leases taken together, is a block here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

from tradewind.errors import Misuse
from tradewind.estimates.outlook import Outlook
from tradewind.market.decisions import Decision
from tradewind.market.instances import Pool
from tradewind.market.leases import Lease
from tradewind.market.offers import Terms
from tradewind.market.tariffs import Tariff
from tradewind.training.elastic.bidding import candidates as offered
from tradewind.training.elastic.bidding.candidates import Candidate, Gap
from tradewind.training.elastic.bidding.chances import Risk, risk, risk_of
from tradewind.training.elastic.bidding.expected_cost import HOUR, NO_RISK, Footprint, Part, expected
from tradewind.training.elastic.work import STATE
from tradewind.training.view import TrainingView


class Block(Struct, frozen=True):
    """Leases taken together, and the billing hour that they are in."""

    pool: Pool
    terms: Terms
    limit: float | None
    started: float
    until: float
    """The end of the hour that is paid for, or decided to be."""
    price: float
    """US dollars an hour for that hour."""


class Blocks(Struct, frozen=True):
    """What `bidbrain` remembers: at what price each hour was begun."""

    held: tuple[Block, ...] = ()


class _Choice(Struct, frozen=True):
    """A way to fill the gap: an offer at a limit, or a block whose hour ends."""

    part: Part
    count: int
    vcpus: float
    limit: float | None
    offer: Candidate | None = None
    kept: Block | None = None


class BidBrain:
    """Adds the block that lowers the expected cost of a unit of work most, as long as one lowers it.

    Every `every` seconds while the goal has room, it prices every spot pool at every delta of the outlook up
    to `largest_delta` US dollars above the price, and every on-demand offer, and takes the best as long as
    the expected cost of work falls. `lead` seconds before a block's billing hour ends, that is renewed
    if nothing else fills its place for less, and if the cost of work does not rise by it; else it is
    released. `efficiency` is phi; `eviction_pause` the seconds that everybody loses when anything is revoked,
    `change_pause` those when something is added. The start-up counts against a new block. What is left
    of the work bounds the work expected, so that the end of the job makes the rest of an hour waste. Leases
    of the state are never released. It knows no deadline: what is cheapest may be late, or wait.

    Chances are those of the outlook for each pool: one chance for all would be wrong by a factor of ten.
    Raises Misuse at a view without an outlook. Limits stay at or below the on-demand price where
    `up_to_on_demand`; the paper has no such bound.
    """

    name = "bidbrain"
    foresees = True
    """It reads the outlook."""

    def __init__(
        self,
        every: float = 120.0,
        lead: float = 60.0,
        efficiency: float = 1.0,
        eviction_pause: float = 30.0,
        change_pause: float = 0.0,
        largest_delta: float = 0.4,
        up_to_on_demand: bool = True,
    ) -> None:
        for field, value in (("every", every), ("lead", lead), ("largest_delta", largest_delta)):
            if not 0 < value < math.inf:
                raise Misuse(f"{value!r} is not above 0", source=self.name, field=field, fix="Give 120.")
        for field, value in (("eviction_pause", eviction_pause), ("change_pause", change_pause)):
            if not 0 <= value < math.inf:
                raise Misuse(
                    f"{value!r} is not 0 or more", source=self.name, field=field, fix="Give seconds."
                )
        if not 0 < efficiency <= 1:
            raise Misuse(
                f"{efficiency!r} is no share", source=self.name, field="efficiency", fix="Give 0.95 for 95 %."
            )
        if lead >= HOUR:
            raise Misuse(f"{lead!r} is an hour or more", source=self.name, field="lead", fix="Give 60.")
        self.every, self.lead, self.efficiency = every, lead, efficiency
        self.eviction_pause, self.change_pause = eviction_pause, change_pause
        self.largest_delta, self.up_to_on_demand = largest_delta, up_to_on_demand

    def recall(self) -> Blocks:
        """Nothing held."""
        return Blocks()

    def decide(self, view: TrainingView, memory: Blocks) -> tuple[Decision, Blocks]:
        """Renew or end what is due, fill the room that is left; ask again at the next hour's end."""
        outlook = view.outlook
        if outlook is None:
            raise Misuse(
                "bids by the chance of a revocation, and nobody forecasts one",
                source=f"policy {self.name}",
                field="outlook",
                fix="Give the run a forecaster, such as empirical.",
            )
        now = view.market.now
        desk = _Desk(self, view, outlook)
        actions, reason = offered.hold_state(view)
        words = [reason] if reason else []
        groups = _groups(view)
        known = self._known(view, memory, groups)
        due = [each for each in known if each.until - now <= self.lead]
        staying = [each for each in known if each.until - now > self.lead]
        footprint = desk.state()
        gap = offered.whole(view.goal)
        for each in staying:
            members = groups[_key(each)]
            footprint = footprint.plus(desk.held(each, len(members), members[0]))
            vcpus = offered.useful_vcpus(members[0].instance.type.resources.vcpus, view.goal)
            gap = gap.less(vcpus, len(members))
        fresh, kept = self._fill(desk, footprint, gap, due, groups)
        held = list(staying)
        for each in due:
            if any(each is other for other in kept):
                held.append(desk.renewed(each))
                words.append(f"{each.pool} is renewed for an hour at {held[-1].price:.4f} USD.")
            else:
                members = groups[_key(each)]
                actions += offered.release(members)
                words.append(f"{offered.they_go(len(members))} from {each.pool} at the end of the hour.")
        for choice in fresh:
            assert choice.offer is not None
            actions.append(offered.take(choice.offer, choice.count, choice.limit))
            words.append(_told(choice))
            held.append(_begun(choice, now))
        wake = min([each.until - self.lead for each in held], default=now + offered.REST)
        if desk.wants(gap, fresh, kept, groups):
            wake = min(wake, now + self.every)
        if not words:
            cost = desk.unit(footprint)
            words.append(
                f"All {sum(map(len, groups.values()))} workers stay; work is expected to cost "
                f"{cost:.5f} USD for an hour of a vCPU."
                if cost < math.inf
                else "No block lowers the cost of work."
            )
        # A moment that has passed, or is as good as here, is not to be asked for.
        return (
            Decision(tuple(actions), " ".join(words), max(wake, now + 1.0)),
            Blocks(tuple(sorted(held, key=_order))),
        )

    def _known(self, view: TrainingView, memory: Blocks, groups: dict[_Key, list[Lease]]) -> list[Block]:
        """The blocks held, with the hour that each is in."""
        now = view.market.now
        prices = {(each.pool, each.terms): each.price.per_hour for each in view.market.offers}
        remembered = {_key(each): each for each in memory.held}
        # A grant may come some moments after the decision: then the start is not the one foreseen.
        by_place = {(each.pool, each.terms, each.limit): each for each in memory.held}
        known = []
        for key in groups:
            pool, terms, limit, started = key
            each = remembered.get(key)
            if each is None:
                like = by_place.get((pool, terms, limit))
                price = prices.get((pool, terms), 0.0 if like is None else like.price)
                until = started + HOUR * (math.floor((now - started) / HOUR) + 1)
                each = Block(pool, terms, limit, started, until, price)
            if each.until <= now:
                until = started + HOUR * (math.floor((now - started) / HOUR) + 1)
                each = Block(pool, terms, limit, started, until, prices.get((pool, terms), each.price))
            known.append(each)
        return known

    def _fill(
        self,
        desk: _Desk,
        footprint: Footprint,
        gap: Gap,
        due: Sequence[Block],
        groups: dict[_Key, list[Lease]],
    ) -> tuple[list[_Choice], list[Block]]:
        """What to take, and what to keep of what is due: the best first, as long as one lowers the cost."""
        fresh: list[_Choice] = []
        kept: list[Block] = []
        pools: set[tuple[Pool, Terms]] = set()
        cost = desk.unit(footprint)
        waiting = list(due)
        while gap.count > 0 and gap.vcpus > 0:
            choices = [desk.choice(each, groups[_key(each)]) for each in waiting]
            choices = [each for each in choices if gap.fit(each.vcpus) >= each.count]
            choices += [each for each in desk.offers(gap) if _place(each) not in pools]
            ranked = [
                (
                    desk.unit(footprint.plus(each.part), each.offer is not None),
                    each.kept is None,
                    each.part.most,
                    at,
                )
                for at, each in enumerate(choices)
            ]
            if not ranked:
                break
            unit, _, _, at = min(ranked)
            if not unit < cost and not (math.isinf(cost) and unit < math.inf):
                break
            best = choices[at]
            footprint, cost = footprint.plus(best.part), unit
            gap = gap.less(best.vcpus, best.count)
            if best.kept is not None:
                kept.append(best.kept)
                waiting = [each for each in waiting if each is not best.kept]
            else:
                fresh.append(best)
                # Another bid for the same pool would be the same bid.
                pools.add(_place(best))
        return fresh, kept


_Key = tuple[Pool, Terms, float | None, float]


class _Desk:
    """The formulas, at one view."""

    def __init__(self, policy: BidBrain, view: TrainingView, outlook: Outlook) -> None:
        self._policy, self._view, self._outlook = policy, view, outlook
        self._prices = {(each.pool, each.terms): each.price.per_hour for each in view.market.offers}
        gone = offered.leaving(view)
        # A pool that has just given notice would give the next lease notice too (decision 0032).
        self._shunned = {lease.pool for lease in view.market.leases if lease.id in gone}
        self._left = offered.seconds_left(view.progress, 1.0) / HOUR
        self._limits = offered.Limits(view.market.offers)
        self._candidates: list[tuple[Candidate, float | None, Risk]] | None = None

    def unit(self, footprint: Footprint, changed: bool = False) -> float:
        """Expected cost of an hour of work, one useful vCPU; infinite where no work is expected."""
        policy = self._policy
        pause = policy.eviction_pause * (1 - footprint.calm) + policy.change_pause * changed
        work = policy.efficiency * (footprint.work - footprint.power * pause / HOUR)
        work = min(work, self._left)
        return footprint.cost / work if work > 0 else math.inf

    def state(self) -> Footprint:
        """What the leases of the state cost; they do no work."""
        now, footprint = self._view.market.now, Footprint()
        for lease in self._view.market.leases:
            if lease.purpose == STATE:
                price = self._prices.get((lease.pool, lease.terms), 0.0)
                ages = (now - lease.started) % HOUR
                hours = (HOUR - ages) / HOUR if self._tariff(lease.terms).unit >= HOUR else 1.0
                footprint = footprint.plus(Part(price * hours, price * hours, 0.0, 0.0, 0.0))
        return footprint

    def held(self, block: Block, count: int, lease: Lease) -> Part:
        """What a block adds over the rest of its hour."""
        return self._part(block, count, lease, block.until - self._view.market.now)

    def choice(self, block: Block, members: Sequence[Lease]) -> _Choice:
        """A block whose hour ends, over the hour that comes, at the price of now."""
        part = self._part(self.renewed(block), len(members), members[0], HOUR)
        vcpus = self._useful(members[0])
        return _Choice(part, len(members), vcpus, block.limit, kept=block)

    def renewed(self, block: Block) -> Block:
        """The same, an hour later, at the price of now."""
        price = self._prices.get((block.pool, block.terms), block.price)
        return Block(
            block.pool,
            block.terms,
            block.limit,
            block.started,
            block.until + HOUR,
            price,
        )

    def offers(self, gap: Gap) -> Iterable[_Choice]:
        """Every offer at every limit, as many as the gap has room for."""
        for candidate, limit, chances in self._all():
            count = offered.room(candidate.offer, gap.fit(candidate.vcpus))
            if count > 0:
                part = expected(
                    price=candidate.offer.price.per_hour,
                    power=count * candidate.vcpus,
                    count=count,
                    seconds=HOUR,
                    age=0.0,
                    startup=self._view.progress.startup,
                    tariff=self._tariff(candidate.offer.terms),
                    chances=chances,
                )
                yield _Choice(part, count, candidate.vcpus, limit, candidate)

    def wants(
        self,
        gap: Gap,
        fresh: Sequence[_Choice],
        kept: Sequence[Block],
        groups: dict[_Key, list[Lease]],
    ) -> bool:
        """Whether there is room still, so that prices are worth another look."""
        for each in fresh:
            gap = gap.less(each.vcpus, each.count)
        for renewed in kept:
            members = groups[_key(renewed)]
            gap = gap.less(self._useful(members[0]), len(members))
        goal = self._view.goal
        found = [
            *offered.candidates(self._view.market.offers, goal, Terms.SPOT),
            *offered.candidates(self._view.market.offers, goal, Terms.ON_DEMAND),
        ]
        # What was taken may not have been granted: the first look after it comes soon.
        return bool(fresh) or offered.missing(gap, found) > 0

    def _all(self) -> list[tuple[Candidate, float | None, Risk]]:
        if self._candidates is None:
            self._candidates = list(self._listed())
        return self._candidates

    def _listed(self) -> Iterable[tuple[Candidate, float | None, Risk]]:
        """Offers with a limit and its risk; of limits with one risk the highest comes first."""
        view, outlook, policy = self._view, self._outlook, self._policy
        for each in offered.candidates(view.market.offers, view.goal, Terms.SPOT):
            pool, price = each.offer.pool, each.offer.price.per_hour
            if pool in self._shunned or pool not in outlook.pools:
                continue
            most = self._limits.limit(each.offer) if policy.up_to_on_demand else None
            rows = outlook.revoked[outlook.pools.index(pool)]
            for delta, row in reversed(list(zip(outlook.deltas, rows, strict=True))):
                limit = price + delta
                if delta <= policy.largest_delta and (most is None or limit <= most):
                    yield each, limit, risk_of(outlook.horizons, row)
        for each in offered.candidates(view.market.offers, view.goal, Terms.ON_DEMAND):
            yield each, None, NO_RISK

    def _part(self, block: Block, count: int, lease: Lease, seconds: float) -> Part:
        now = self._view.market.now
        chances = NO_RISK
        if block.terms.revocable:
            price = self._prices.get((block.pool, block.terms), block.price)
            limit = block.limit
            if limit is None:
                limit = price + self._policy.largest_delta
            chances = risk(self._outlook, block.pool, limit - price) or NO_RISK
        begun = lease.started + self._view.progress.startup
        return expected(
            price=block.price,
            power=count * self._useful(lease),
            count=count,
            seconds=seconds,
            age=now - lease.started,
            startup=max(0.0, begun - now),
            tariff=self._tariff(block.terms),
            chances=chances,
        )

    def _useful(self, lease: Lease) -> float:
        return offered.useful_vcpus(lease.instance.type.resources.vcpus, self._view.goal)

    def _tariff(self, terms: Terms) -> Tariff:
        return self._view.market.tariff(terms)


def _groups(view: TrainingView) -> dict[_Key, list[Lease]]:
    """The leases of workers that are not under notice, by what makes them one block."""
    groups: dict[_Key, list[Lease]] = {}
    for lease in offered.working(view.market.leases, offered.leaving(view)):
        groups.setdefault((lease.pool, lease.terms, lease.limit, lease.started), []).append(lease)
    return groups


def _key(block: Block) -> _Key:
    return block.pool, block.terms, block.limit, block.started


def _order(block: Block) -> tuple[Pool, str, float, float]:
    limit = math.inf if block.limit is None else block.limit
    return block.pool, block.terms.value, limit, block.started


def _place(choice: _Choice) -> tuple[Pool, Terms]:
    assert choice.offer is not None
    return choice.offer.offer.pool, choice.offer.offer.terms


def _begun(choice: _Choice, now: float) -> Block:
    assert choice.offer is not None
    offer = choice.offer.offer
    return Block(offer.pool, offer.terms, choice.limit, now, now + HOUR, offer.price.per_hour)


def _told(choice: _Choice) -> str:
    assert choice.offer is not None
    offer = choice.offer.offer
    if choice.limit is None:
        where = f"{offer.pool} on demand at {offer.price.per_hour:.4f} USD an hour."
    else:
        where = (
            f"{offer.pool} on spot at {offer.price.per_hour:.4f} USD an hour, at most {choice.limit:.4f} "
            f"({100 * choice.part.beta:.0f} % are expected to be revoked within the hour)."
        )
    return f"{offered.they_go(choice.count)} to {where}"
