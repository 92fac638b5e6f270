"""Which installed package meets a requirement."""

from tradewind.audit.inventory.requirements import met_by
from tradewind.audit.packages import Inventory, Package, Requirement
from tradewind.audit.trees import Tree


def asks(*names, **fields):
    return {
        "requires": tuple(Requirement(each if isinstance(each, tuple) else (each,)) for each in names),
        **fields,
    }


def met(*packages):
    keyed = {f"{p.key}@{p.folder or p.architecture}": p for p in packages}
    return {key: [each for _, each in rows] for key, rows in met_by(Inventory(Tree([]), keyed)).items()}


def test_alternatives_virtual_names_and_what_is_absent():
    found = met(
        Package("apt", "mail", "1", **asks(("exim", "mta"), ("none", "libc"), "absent")),
        Package("apt", "postfix", "1", provides=("mta",)),
        Package("apt", "nullmailer", "1", provides=("mta",)),
        Package("apt", "libc", "1"),
    )
    assert found["apt:mail@"] == ["apt:nullmailer@", "apt:libc@", None]


def test_the_same_architecture_and_the_same_folder_come_first():
    found = met(
        Package("apt", "libc", "1", architecture="i386"),
        Package("apt", "libc", "1", architecture="amd64"),
        Package("apt", "tool", "1", architecture="amd64", **asks("libc")),
        Package("pip", "six", "1", folder="a"),
        Package("pip", "six", "1", folder="b"),
        Package("pip", "app", "1", folder="b", **asks("six")),
    )
    assert found["apt:tool@amd64"] == ["apt:libc@amd64"] and found["pip:app@b"] == ["pip:six@b"]


def test_python_takes_what_debian_provides_and_debian_takes_nothing_of_pip():
    found = met(
        Package("apt", "python3-numpy", "1", provides=("pip:numpy",)),
        Package("pip", "pandas", "1", folder="s", **asks("numpy")),
        Package("pip", "python3", "1", folder="s"),
        Package("apt", "tool", "1", **asks("python3", "numpy")),
    )
    assert found["pip:pandas@s"] == ["apt:python3-numpy@"] and found["apt:tool@"] == [None, None]


def test_a_package_of_that_name_comes_before_one_that_provides_it():
    found = met(
        Package("apt", "a-mta", "1", provides=("mta",)),
        Package("apt", "mta", "1"),
        Package("apt", "x", "1", **asks("mta")),
    )
    assert found["apt:x@"] == ["apt:mta@"]
