import pytest
from slimming_files import closed, files_of, packages_of, pip, run

from tradewind.audit.packages import Package, Requirement
from tradewind.audit.slimming import closure
from tradewind.audit.slimming.kept import FIRST_RULES
from tradewind.audit.tracing.events import Event
from tradewind.audit.why import WORDS, Question
from tradewind.errors import Misuse
from tradewind.testing.images import small_elf

LIB = "usr/lib/x86_64-linux-gnu"
GIVEN = {
    "usr/bin/app": small_elf(needed=["libx.so.1"]),
    f"{LIB}/libx.so.1": "-> libx.so.1.0",
    f"{LIB}/libx.so.1.0": small_elf(soname="libx.so.1"),
    "bin": "-> usr/bin",
    "site/p/a.py": "a",
    "site/q/b.py": "b" * 200_000,
    "site/q/c.py": "c",
    "srv/asked": "s",
    "nowhere": "-> gone",
    "etc/two": "2",
    "etc/deux": "2",
}
PACKAGES = (
    Package("apt", "app", "1", ("usr/bin/app",), requires=(Requirement(("libx",)),), asked_for=True),
    Package("apt", "libx", "2", (f"{LIB}/libx.so.1", f"{LIB}/libx.so.1.0")),
    pip("p", ["site/p/a.py"], requires=(Requirement(("q",)),)),
    pip("q", ["site/q/b.py", "site/q/c.py"]),
    pip("lonely", ["srv/asked"]),
)


@pytest.fixture(scope="module")
def question():
    files = files_of(GIVEN, nodes={"etc/two": 1, "etc/deux": 1})
    first = run(
        "predict", opened=["usr/bin/app", "site/p/a.py", "etc/two"], hops=["bin"], probed=["srv/asked"],
        listed=["site"], missed=["/etc/missing"],
    )  # fmt: skip
    found = closed(files, first, packages=PACKAGES, probed="placeholder", drop=("etc/nothing",))
    events = [
        Event(0.0, 6, "open", "/usr/bin/app", ok=False),
        Event(0.25, 7, "open", "/bin/app", exe="/usr/bin/sh"),
        Event(0.5, 8, "open", "/usr/bin/app"),
    ]
    return Question(packages_of(files, *PACKAGES), [first], found, {"predict": events})


def test_a_file_that_was_opened(question):
    told = question.path("/bin/app")
    assert told[0] == "bin/app is usr/bin/app, through bin."
    assert told[2] == "Run predict opened it: /usr/bin/sh (7) first, 0.25 s after it began."
    assert told[3] == "It is kept: run predict opened it."


def test_a_library_by_the_chain_of_rules_and_of_packages(question):
    told = " ".join(question.path(f"{LIB}/libx.so.1.0"))
    assert "belongs to apt:libx 2" in told
    assert "It is kept: usr/bin/app is linked with it; and of that: run predict opened it." in told
    assert "No run touched it (of predict)." in told
    assert "app -> apt:app -> apt:libx" in told and "apt:app asks for it." in told


def test_what_is_removed_stands_in_or_has_several_names(question):
    assert "It is removed; the side-car has it." in question.path("site/q/b.py")
    asked = question.path("srv/asked")
    assert "Run predict asked for, but never opened, it." in asked
    assert "It is removed; an empty file of its name stands in for it." in asked
    assert "also called etc/two" in question.path("etc/deux")[0]
    assert "It leads nowhere." in question.path("nowhere")


def test_a_directory_and_the_root(question):
    told = question.path("site")
    assert told[1] == "Below it are 3 files and links, 0.2 MB."
    assert told[2] == "Run predict opened 1 of them, 1 bytes, and listed its names."
    assert told[3] == "1 are kept, 1 bytes."
    assert "entries" in question.path("/")[-1]


def test_what_is_not_there(question):
    assert question.path("/etc/missing") == (
        "etc/missing is not in the image. Run predict looked for it in vain.",
    )
    with pytest.raises(Misuse, match=r"Did you mean usr/bin/app\?"):
        question.path("usr/bin/ap")
    with pytest.raises(Misuse, match="Did you mean 'libx'"):
        question.package("liby")


def test_packages(question):
    used = question.package("pip:p")
    assert used[1] == "Run predict opened 1 of its files, 1 bytes: site/p/a.py."
    assert used[2] == "1 of its files are kept, 1 bytes."
    q = question.package("q")
    assert "Nothing: no run touched it (of predict), or only what tells of it." in q
    assert "Nothing of it is kept." in q and "pip:p asks for it." in q
    assert "The shortest chain that brings it in: app -> pip:p -> pip:q." in q
    assert "No package asks for pip:lonely." in question.package("lonely")
    libx = question.package("apt:libx")
    assert any("none of which was opened" in line and "is linked with it" in line for line in libx)


def test_without_runs_or_a_closure_the_same_questions_have_answers():
    files = files_of(GIVEN)
    told = Question(packages_of(files, *PACKAGES)).path("site/q/b.py")
    assert "Nothing: no run touched it; none was recorded." in told
    assert not any("kept" in line for line in told)


def test_every_rule_has_its_words():
    assert closure.SEEDS and closure.GROWTHS
    assert WORDS.keys() >= FIRST_RULES
