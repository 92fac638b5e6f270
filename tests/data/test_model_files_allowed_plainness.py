"""Whether a function of a library only moves values about."""

import os
import pickle

from tradewind.data.model_files.allowed.plainness import is_plain, made_by_reducing


class Plain:
    def __setstate__(self, state):
        self.__dict__.update(state)
        if "x" not in state:
            self.x = list(state.get("y", ()))

    def imports(self, state):
        import json

        self.x = json

    def opens(self, state):
        self.x = open(state["path"])  # noqa: SIM115

    def calls_state(self, state):
        state["f"]()

    def by_name(self, state):
        return getattr(self, state["name"])

    def fixed(self, state):
        return getattr(self, "x", None)

    def acts(self, state):
        os.remove(state)

    def unpickles(self, state):
        self.x = pickle.loads(state)


def rebuild(*args):
    return args


class Reduces:
    def __reduce__(self):
        return rebuild, (1,)


class ByClass:
    def __reduce__(self):
        return (self.__class__, (1,))


def test_only_values_are_moved():
    assert is_plain(Plain.__setstate__) and is_plain(Plain.fixed)
    for function in (
        Plain.imports, Plain.opens, Plain.calls_state, Plain.by_name, Plain.acts, Plain.unpickles, len, None,
        print
    ):  # fmt: skip
        assert not is_plain(function)


def test_what_reducing_returns():
    assert made_by_reducing(Reduces) == [rebuild]
    assert made_by_reducing(ByClass) == [ByClass]
    assert made_by_reducing(Plain) == []
