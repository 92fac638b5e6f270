"""The rules that pickles are judged by."""

from tradewind.data.model_files.pickles import rules


def test_every_rule_is_listed_once():
    defined = {value.id for name, value in vars(rules).items() if name.isupper() and hasattr(value, "level")}
    listed = [rule.id for rule in (*rules.PICKLES, *rules.TORCH, *rules.NPY)]
    assert sorted(listed) == sorted(defined)
    assert [rule.id for rule in rules.PICKLES if rule.level == "note"] == ["pickle-stacked", "pickle-nested"]
