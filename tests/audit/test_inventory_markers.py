"""What Python packages ask for, by markers and extras."""

import pytest

from tradewind.audit.inventory.markers import asked, environment, with_extras
from tradewind.audit.packages import Package, Requirement

WHERE = environment("3.11", "x86_64")


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("six", ["depends"]),
        ('tomli; python_version < "3.11"', []),
        ('tomli; python_full_version <= "3.11.0a6"', []),
        ('colorama ; sys_platform == "win32"', []),
        ('x; platform_machine == "x86_64" and implementation_name == "cpython"', ["depends"]),
        ("pytest (>=3) ; extra == 'Test_it'", ["extra:test-it"]),
        ('a; extra == "x" or extra == "y"', ["extra:x", "extra:y"]),
        ('b; python_version < "3.8" and extra == "x"', []),
        ('c; python_version > "3.8" or extra == "x"', ["depends"]),
    ],
)
def test_markers_are_judged_in_the_trees_python(line, kinds):
    found, bad = asked([line], WHERE)
    assert [each.requirement.kind for each in found] == kinds and not bad


def test_names_are_normalised_and_what_is_no_requirement_is_told():
    found, bad = asked(["Zope.Interface_X>=1", "what is this?", "y @ https://e.org/y.whl"], WHERE)
    assert [each.requirement.alternatives for each in found] == [("zope-interface-x",), ("y",)]
    assert bad == ["what is this?"]


def test_another_packages_extra_brings_what_it_asks_for():
    packages = [Package("pip", name, "1", folder="site") for name in ("app", "server", "loop")]
    told = {
        0: asked(["server[all]"], WHERE)[0],
        1: asked(['server[fast]; extra == "all"', 'loop; extra == "fast"', 'dev; extra == "test"'], WHERE)[0],
    }
    app, server, _ = with_extras(packages, told)
    assert app.requires == (Requirement(("server",)), Requirement(("loop",)))
    assert server.requires == (
        Requirement(("loop",), "extra:fast"),
        Requirement(("dev",), "extra:test"),
        Requirement(("loop",), "extra:all"),
    )


def test_extras_that_ask_for_each_other_end():
    told = {0: asked(['a[y]; extra == "x"', 'a[x]; extra == "y"', 'z; extra == "y"'], WHERE)[0]}
    (found,) = with_extras([Package("pip", "a", "1")], told)
    assert Requirement(("z",), "extra:x") in found.requires
