"""The picture of who needs whom, cut to what matters."""

from tradewind.session.report.audit.data import EdgeLine, PackageLine
from tradewind.session.report.audit.package_graph import MOST_PACKAGES, chosen_packages, package_graph


def line(key, size, *chain, state="used"):
    return PackageLine(key, "1", "ML", size, 0, state, chain=(*chain, key) if chain is not None else ())


def test_a_chosen_package_brings_its_chain():
    small = [line("apt:a", 1), line("apt:b", 2, "apt:a")]
    big = line("apt:c", 10**6, "apt:a", "apt:b", state="reachable")
    others = [line(f"apt:z{k}", 100 + k) for k in range(200)]
    chosen = chosen_packages([*small, big, *others])
    assert {"apt:a", "apt:b", "apt:c"} <= {each.key for each in chosen} and len(chosen) <= MOST_PACKAGES
    assert "apt:z199" in {each.key for each in chosen} and "apt:z0" not in {each.key for each in chosen}


def test_the_picture_tells_chains_and_what_it_leaves_out():
    lines = [line("apt:a", 9), line("apt:b", 7, "apt:a", state="reachable"),
             PackageLine("pip:idle<&>", "1", "ML", 5, 0, "unreachable"),
             *(line(f"apt:z{k}", 1) for k in range(200))]  # fmt: skip
    edges = [EdgeLine("app", "apt:a", "accessed"), EdgeLine("apt:a", "apt:b"), EdgeLine("apt:b", "apt:a"),
             EdgeLine("apt:a", "apt:z199")]  # fmt: skip
    picture, left = package_graph(lines, edges)
    assert "apt:a needs apt:b (depends)" in picture and "brought in by apt:a" in picture
    assert "nobody asks for" in picture and "idle&lt;&amp;&gt;" in picture and "<&>" not in picture
    drawn = len(chosen_packages(lines))
    assert f"{len(lines) - drawn:,} packages" in left
    assert package_graph(lines, list(reversed(edges))) == (picture, left)
    assert package_graph([], [])[1] == ""
