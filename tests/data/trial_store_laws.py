"""What a store of trials must do, whatever is asked of it in whatever order: against plain Python."""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tradewind.data.trial_records import Report, Trials, same
from tradewind.data.trial_store import Superseded, TrialStore

NEW = {
    "state": "waiting", "attempt": 0, "driver": "", "until": math.inf, "reached": -1, "stop": "",
    "final": None, "revocation": 0, "failure": 0, "redone": 0, "releases": 0,
}  # fmt: skip
SAME = {
    "setting": "setting", "parent": "parent", "state": "state", "attempt": "attempt", "driver": "driver",
    "stop_wanted": "stop", "revocations": "revocation", "failures": "failure", "redone": "redone",
    "releases": "releases",
}  # fmt: skip


class StoreMachine(RuleBasedStateMachine):
    """Two stores on one file do at random what drivers do; a dictionary says what should come of it."""

    claims = Bundle("claims")
    steps = st.integers(0, 6)
    values = st.sampled_from([0.5, 0.25, math.nan, math.inf])
    numbers = st.integers(0, 4)
    drivers = st.sampled_from(["one", "two"])

    def __init__(self):
        super().__init__()
        # Shared memory: what a file does, at its speed.
        name = f"file:machine{id(self)}?mode=memory&cache=shared&uri=true"
        self.stores = [TrialStore(f"sqlite:///{name}") for _ in range(2)]
        self.stores[0].create("study", {})
        self.model, self.now, self.turn = [], 0.0, 0
        self.following = Trials()

    def teardown(self):
        for store in self.stores:
            store.close()

    @property
    def store(self):
        self.turn += 1
        return self.stores[self.turn % 2]

    @rule(parent=st.none() | numbers)
    def add(self, parent):
        setting = {"at": len(self.model)}
        if len(self.model) < 5:
            assert self.store.add("study", setting, parent=parent) == len(self.model)
            self.model.append({**NEW, "setting": setting, "parent": parent, "curve": {}, "said": []})

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule(target=claims, driver=drivers, number=st.none() | numbers, lease=st.sampled_from([20.0, math.inf]))
    def claim(self, driver, number, lease):
        claim = self.store.claim("study", driver, moment=self.now, lease=lease, number=number)
        for at, each in enumerate(self.model):
            lapsed = each["state"] == "running" and each["until"] < self.now
            if number not in (None, at) or not (each["state"] == "waiting" or lapsed):
                continue
            each["releases"] += lapsed
            if each["stop"]:
                each.update(state="stopped", driver="")
                continue
            each.update(
                state="running", driver=driver, attempt=each["attempt"] + 1, until=self.now + lease,
                reached=-1, said=[],
            )  # fmt: skip
            assert (claim.number, claim.attempt, claim.driver) == (at, each["attempt"], driver)
            return claim
        assert claim is None
        return multiple()

    @rule(driver=drivers, lease=st.sampled_from([20.0, math.inf]))
    def heartbeat(self, driver, lease):
        own = self.own(driver)
        for each in own.values():
            each["until"] = self.now + lease
        found = self.store.heartbeat("study", driver, moment=self.now, lease=lease)
        assert found == {at: each["stop"] for at, each in own.items()}

    @rule(driver=drivers)
    def release(self, driver):
        own = self.own(driver)
        for each in own.values():
            each.update(state="stopped" if each["stop"] else "waiting", driver="")
            each["releases"] += 1
        assert self.store.release("study", driver) == tuple(own)

    def own(self, driver):
        who = ("running", driver)
        return {at: each for at, each in enumerate(self.model) if (each["state"], each["driver"]) == who}

    def live(self, claim):
        each = self.model[claim.number]
        return (each["state"], each["attempt"]) == ("running", claim.attempt) and each

    @rule(reports=st.lists(st.tuples(claims, steps, values), min_size=1, max_size=4))
    def report(self, reports):
        expected = [self.expected(*report) for report in reports]
        assert self.store.report_many([Report(*report) for report in reports]) == tuple(expected)

    def expected(self, claim, step, value):
        each = self.live(claim)
        if not each:
            return "lost"
        known = each["curve"].get(step)
        if step <= each["reached"]:
            told = [said for at, said in each["said"] if at == step] + ([] if known is None else [known])
            return "again" if any(same(value, one) for one in told) else "refused"
        each["reached"] = step
        each["said"].append((step, value))
        if known is None:
            each["curve"][step] = value
            return "recorded"
        if same(known, value):
            return "again"
        each["redone"] += 1
        return "differs"

    @rule(claim=consumes(claims), cause=st.sampled_from(["revocation", "failure"]))
    def requeue(self, claim, cause):
        if each := self.live(claim):
            self.store.requeue(claim, "gone", cause)
            each.update(state="stopped" if each["stop"] else "waiting", driver="")
            each[cause] += 1
            self.store.requeue(claim, "gone", cause)
        else:
            with pytest.raises(Superseded):
                self.store.requeue(claim, "something else", cause)

    @rule(claim=claims)
    def pause(self, claim):
        if each := self.live(claim):
            self.store.pause(claim, "low")
            each.update(state="stopped" if each["stop"] else "paused", driver="")

    @rule(number=numbers)
    def resume(self, number):
        if number < len(self.model):
            each = self.model[number]
            assert self.store.resume("study", number) == (each["state"] == "paused")
            if each["state"] == "paused":
                each["state"] = "waiting"

    @rule(claim=claims, state=st.sampled_from(["completed", "failed"]), final=st.none() | values)
    def finish(self, claim, state, final):
        if each := self.live(claim):
            self.store.finish(claim, state, final)
            each.update(state=state, final=final, driver="")

    @rule(number=numbers)
    def stop(self, number):
        if number < len(self.model):
            each = self.model[number]
            new = each["state"] in ("waiting", "paused", "running") and not each["stop"]
            assert self.store.stop("study", number, "by hand") == new
            if new:
                each["stop"] = "by hand"
                if each["state"] != "running":
                    each["state"] = "stopped"

    @invariant()
    def trials_are_as_they_should_be(self):
        found = self.store.trials("study", self.following)
        assert len(found) == len(self.model)
        for trial, each in zip(found.all(), self.model, strict=True):
            for field, name in SAME.items():
                assert getattr(trial, field) == each[name]
            curve = dict(zip(trial.steps, trial.values, strict=True))
            assert repr(curve) == repr(dict(sorted(each["curve"].items())))
            assert repr(trial.final) == repr(each["final"])
        row = self.stores[0].studies()[0]
        assert (row.trials, row.sequence) == (len(self.model), found.sequence)
