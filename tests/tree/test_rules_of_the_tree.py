"""What neither import contracts nor linters can see; each rule is tried on a planted violation too."""

import ast
import functools
import itertools
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "tradewind"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 500
JUNK = {"util", "utils", "helper", "helpers", "common", "core", "base", "misc", "types", "stuff", "lib"}
HOMES = {
    "Resources": "market/resources.py",
    "InstanceType": "market/instances.py",
    "Instance": "market/instances.py",
    "Offer": "market/offers.py",
    "Price": "market/offers.py",
    "Bid": "market/offers.py",
    "Charge": "market/charges.py",
    "Lease": "market/leases.py",
    "Revocation": "market/leases.py",
    "Demand": "market/demands.py",
    "View": "market/views.py",
    "Decision": "market/decisions.py",
}
OTHER_WORDS = {"Flavour", "Sku", "SKU", "Allocation", "Reservation", "Preemption", "Eviction"}
PURE = (
    "errors.py",
    "market/",
    "estimates/",
    "algorithms/",
    "control/policy.py",
    "training/",
    "tuning/",
    "serving/",
    "advice/",
    "audit/",
)
SHELLS = {
    line.split(" -> ")[0].strip().removeprefix("tradewind.").replace(".", "/") + ".py"
    for line in (ROOT / ".importlinter").read_text().splitlines()
    if line.endswith(" -> **")
}
"""The modules of pure packages that act, as the import contract names them; or folders of them, /**."""
NO_MIRROR = {
    "advice/configuration/interface.py": "protocols and values: tested with the advisors",
    "advice/renting/interface.py": "protocols and values: tested with the renters and the simulation",
    "algorithms/interface.py": "protocols: every algorithm's tests go through them",
    "audit/slimming/kept.py": "values: tested with the closure",
    "audit/tracing/backends/confinement.py": "tested with the confined runs",
    "audit/tracing/backends/launcher.py": "tested with the confined runs",
    "audit/tracing/backends/mounting.py": "tested with the confined runs",
    "audit/tracing/backends/rights.py": "tested with the confined runs",
    "audit/tracing/backends/services.py": "tested with the confined runs",
    "audit/tracing/backends/system_calls.py": "tested with the confined runs",
    "audit/tracing/backends/access_times.py": "tested with the tracers beside each other",
    "audit/tracing/backends/audit_hook.py": "tested with the tracers beside each other",
    "audit/tracing/backends/bpftrace.py": "tested with the tracers beside each other",
    "audit/tracing/backends/fanotify.py": "tested with the tracers beside each other",
    "audit/tracing/backends/hooked.py": "tested with the tracers beside each other",
    "audit/tracing/backends/plain.py": "tested with the tracers beside each other",
    "audit/tracing/backends/strace.py": "tested with the tracers beside each other",
    "audit/tracing/backends/tracer.py": "tested with the tracers beside each other",
    "audit/tracing/events.py": "values: tested with the traces that are read",
    "cli/verbs.py": "tested with the command and its groups",
    "control/advising.py": "protocols: tested with the run times that a session knows",
    "data/model_files/findings.py": "values: tested with the scanner",
    "data/model_files/formats/graph_operators.py": "tested with SavedModel",
    "data/model_files/formats/hdf5_layout.py": "tested with HDF5",
    "data/model_files/formats/readings.py": "values: tested with the scanner",
    "data/model_files/formats/template_": "tested with the templates",
    "data/model_files/pickles/reader.py": "tested with the machine",
    "data/model_files/inspection.py": "protocols and values: tested with the scanner",
    "data/interface.py": "protocols: tested with what implements them",
    "market/charges.py": "values: tested with the billing rules",
    "market/decisions.py": "values: tested with the policies",
    "market/demands.py": "values: tested with the policies",
    "market/measured_runs.py": "values: tested with the tables that are read",
    "market/news.py": "values: tested by the laws of providers",
    "market/views.py": "values: tested with the policies",
    "providers/interface.py": "protocols: tested by the laws of providers",
    "runtimes/interface.py": "protocols: tested by the laws of runtimes",
    "runtimes/functions/host/api.py": "tested with the host, over real sockets",
    "runtimes/functions/host/environment.py": "tested with the host, over real sockets",
    "runtimes/functions/host/inside.py": "tested with the host, over real sockets",
    "runtimes/functions/host/pool.py": "tested with the host, over real sockets",
    "runtimes/functions/host/refusals.py": "tested with the host, over real sockets",
    "runtimes/functions/host/zygote.py": "tested with births, and with the host",
    "serving/calls.py": "protocols and values: tested with the engine and each wire",
    "serving/models/interface.py": "protocols: tested with each kind of model",
    "serving/models/one_class.py": "tested with the engine and the verb",
    "serving/provisioning/interface.py": "protocols and values: tested with the policies",
    "serving/server/http/messages.py": "values: tested with the connection and each protocol",
    "serving/server/replicas/": "tested together by one law over every kind",
    "serving/tensors.py": "values: tested with their bytes and their JSON",
    "serving/variants/scaling/interface.py": "values: tested with both ways to scale",
    "session/endpoint_client.py": "tested with the verb, against a server in a process of its own",
    "session/endpoints_over.py": "tested with the verb, against a server in a process of its own",
    "session/model_folders.py": "tested with the models",
    "session/serve_variants.py": "tested with the verb, over a real server",
    "session/variants.py": "tested with the verb, over a real server",
    "session/serve.py": "tested with the verb, in a process of its own",
    "serving/server/http/variants_page.py": "tested with the verb, over a real server",
    "serving/server/endpoints/capture.py": "tested with the endpoints that keep what they were asked",
    "serving/server/endpoints/description.py": "tested with the control plane",
    "serving/server/endpoints/endpoint.py": "tested with the engine of endpoints",
    "serving/server/endpoints/shadow.py": "tested with the engine of endpoints",
    "serving/server/grpc/call.py": "tested with the connection, by raw frames",
    "serving/server/grpc/household.py": "tested with the connection, by raw frames",
    "serving/server/http/sagemaker_async.py": "tested with the answers given later, by boto3",
    "serving/server/served.py": "tested with the engine",
    "serving/server/stepping.py": "tested with the connections of both wires",
    "serving/server/tasks/library.py": "tested with the engine of tasks",
    "serving/server/tasks/metrics.py": "tested with the engine of tasks",
    "control/policy.py": "protocols: tested by the laws of policies",
    "state/stamp.py": "values: tested with the engine",
    "tuning/interface.py": "protocols and values: tested by the laws of stoppers, and with each searcher",
    "training/view.py": "values: tested with the policies",
    "training/elastic/clairvoyant_single.py": "tested with the bound, against trying everything",
    "training/elastic/work.py": "protocols: tested with the controller",
    "testing/": "laws: they are tests themselves, run by those who keep them",
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def submodules() -> set[str]:
    """The dotted names of all our modules and packages."""
    found = set()
    for path in MODULES:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


@functools.cache
def parsed(source: str) -> ast.Module:
    """The tree of a module; parsed once for all rules."""
    return ast.parse(source)


@functools.cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Those of its nodes that a rule looks at."""
    kinds = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.Call, ast.keyword)
    return tuple(node for node in ast.walk(parsed(source)) if isinstance(node, kinds))


def facade_imports(source: str, modules: set[str], packages: set[str]) -> list[str]:
    """Names taken from a package's `__init__` instead of the module that defines them."""
    found = []
    for node in nodes(source):
        if isinstance(node, ast.ImportFrom) and node.module in packages:
            # The version is defined in the top package, not taken from elsewhere.
            taken = [f"{node.module}.{a.name}" for a in node.names if a.name != "__version__"]
            found += [name for name in taken if name not in modules]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"a relative import in line {node.lineno}")
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name in packages]
    return found


def hidden_imports(source: str) -> list[str]:
    """Imports of our own modules that are not at the top of the module."""
    top = set(map(id, parsed(source).body))
    found = []
    for node in nodes(source):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        if id(node) not in top and any(name.split(".")[0] == "tradewind" for name in names):
            found.append(f"line {node.lineno}: {', '.join(names)}")
    return found


def second_definitions(name: str, source: str) -> list[str]:
    """Words of the vocabulary defined away from their home, and words that it does not use."""
    classes = [node.name for node in nodes(source) if isinstance(node, ast.ClassDef)]
    return [each for each in classes if HOMES.get(each, name) != name or each in OTHER_WORDS]


def touches_files(source: str) -> list[str]:
    """Calls that open files; no import betrays them."""
    methods = {"read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir", "rename"}
    found = []
    for node in nodes(source):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "open":
                found.append(f"line {node.lineno}: open")
            elif isinstance(called, ast.Attribute) and called.attr in methods:
                found.append(f"line {node.lineno}: {called.attr}")
    return found


def unpickles(source: str) -> list[str]:
    """Imports of what executes the data that it reads."""
    found = []
    for node in nodes(source):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            names = ["pickle"] if getattr(node.value, "value", True) else []
        found += [
            each
            for each in names
            if each.split(".")[0] in {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
        ]
    return found


def drawer(name: str) -> bool:
    """Whether a file or a folder of its path has a name that says nothing."""
    return bool(JUNK.intersection(Path(name).with_suffix("").parts))


def mirrored(name: str, tests: set[str]) -> bool:
    """Whether a test file stands where the module's is looked for, or its small package's is."""
    folder, _, file = name.rpartition("/")
    stem = file.removesuffix(".py")
    places = [(folder, stem)]
    if "/" in folder:
        places.append((folder.rpartition("/")[0], folder.rpartition("/")[2]))
    area, *under = folder.split("/")
    if len(under) > 1:
        places.append((area, "_".join([*under, stem])))
    return any(
        each.rpartition("/")[0] == place
        and re.fullmatch(rf"test_(\w+_)?{looked_for}s?(_\w+)?\.py", each.rpartition("/")[2])
        for place, looked_for in places
        for each in tests
    )


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return {name_of(path): path.read_text(encoding="utf-8") for path in MODULES}


def broken(sources, rule) -> dict[str, list[str]]:
    return {name: found for name, source in sources.items() if (found := rule(name, source))}


def test_nobody_inside_imports_from_a_facade(sources):
    modules = submodules()
    packages = {name for name in modules if (PACKAGE.parent / name.replace(".", "/")).is_dir()}
    assert facade_imports("from tradewind.market import Offer", modules, packages) == [
        "tradewind.market.Offer"
    ]
    assert facade_imports("import tradewind", modules, packages) == ["tradewind"]
    assert facade_imports("from . import offers", modules, packages)
    assert not facade_imports("from tradewind import clock", modules, packages)
    assert not broken(sources, lambda _, source: facade_imports(source, modules, packages))


def test_our_own_modules_are_imported_at_the_top(sources):
    assert hidden_imports("def f():\n    from tradewind.market import offers")
    assert hidden_imports("if TYPE_CHECKING:\n    import tradewind.market.offers")
    assert not hidden_imports("from tradewind.market import offers\ndef f():\n    import torch")
    assert not broken(sources, lambda _, source: hidden_imports(source))


def test_no_file_is_a_drawer_for_anything():
    assert drawer("market/utils.py") and drawer("common/offers.py") and not drawer("market/offers.py")
    assert not [name for path in MODULES if drawer(name := name_of(path))]


def test_each_word_is_defined_in_its_home_only(sources):
    assert second_definitions("training/view.py", "class Lease: pass") == ["Lease"]
    assert second_definitions("market/leases.py", "class Lease: pass") == []
    assert second_definitions("market/leases.py", "class Preemption: pass") == ["Preemption"]
    assert not broken(sources, second_definitions)
    for word, home in HOMES.items():
        assert re.search(rf"^class {word}\b", sources[home], re.M), f"{word} is not in {home}"


def test_every_module_says_what_it_is(sources):
    for name, source in sources.items():
        told = ast.get_docstring(parsed(source))
        assert told, f"{name} has no docstring"
        assert told.splitlines()[0].rstrip().endswith((".", ":", "?")), (
            f"{name}: the first line is no sentence"
        )


def test_facades_hold_a_docstring_only(sources):
    for name, source in sources.items():
        if name.endswith("/__init__.py"):
            assert len(parsed(source).body) == 1, f"{name} holds more than its docstring"


def test_no_module_is_two_things(sources):
    assert not broken(sources, lambda _, source: ["too long"] if source.count("\n") > MAX_LINES else [])


def test_deciding_code_opens_no_file(sources):
    assert (
        touches_files("open('x')") and touches_files("Path('x').read_text()") and not touches_files("f.at(3)")
    )

    folders = tuple(each.removesuffix("**.py") for each in SHELLS if each.endswith("/**.py"))
    modules = {each for each in SHELLS if not each.endswith("/**.py")}
    assert "training/worker.py" in modules and "serving/server/" in folders
    assert not modules - set(sources), "a shell is gone; drop its line"
    assert all(any(name.startswith(each) for name in sources) for each in folders)

    def rule(name, source):
        pure = name.startswith(PURE) and name not in modules and not name.startswith(folders)
        return touches_files(source) if pure else []

    assert not broken(sources, rule)


def test_nothing_is_unpickled(sources):
    assert unpickles("import pickle") and unpickles("np.load(f, allow_pickle=True)")
    assert not unpickles("np.load(f, allow_pickle=False)")
    # What they made themselves, the second in forks of this process; and the scanner's machine, which is the
    # unpickler with everything that it would name or call put out of its reach.
    ours = ("testing/", "session/trials.py", "data/model_files/pickles/machine.py")
    assert not broken(sources, lambda name, source: [] if name.startswith(ours) else unpickles(source)), (
        "nothing from outside of this process is unpickled"
    )


def test_every_module_has_its_mirror_test(sources):
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert mirrored("market/offers.py", {"market/test_offers.py"})
    assert mirrored("clock.py", {"test_clock.py"})
    assert mirrored("session/report/page.py", {"session/test_report.py"})
    assert mirrored("serving/server/http/routes.py", {"serving/test_server_http_routes.py"})
    assert not mirrored("serving/server/http/routes.py", {"serving/test_server_grpc_routes.py"})
    assert not mirrored(
        "market/offers.py", {"data/test_offers.py", "market/test_prices.py", "test_market.py"}
    )
    bare = [
        name
        for name in sources
        if not name.endswith("__init__.py")
        and not mirrored(name, tests)
        and not name.startswith(tuple(NO_MIRROR))
    ]
    assert not bare, "write the test, or a line in NO_MIRROR with the reason: " + ", ".join(bare)


def test_the_exceptions_are_still_needed(sources):
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    for name in NO_MIRROR:
        assert any(each.startswith(name) for each in sources), f"{name} is gone; drop its line"
        folder, _, file = name.rpartition("/")
        assert f"{folder}/test_{file}" not in tests, f"{name} has a test; drop its line"


def test_no_text_names_a_folder_of_somebodys_machine():
    owner = re.compile(r"(?<![\w.])/(" + "|".join(["work", "home", "root", "Users"]) + r")/\w")
    assert owner.search("see /" + "home/me/x") and not owner.search("a/work/b")
    texts = [
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", ".ci/run", ".importlinter")
    ]
    for folder in ("src", "tests", "benchmarks", "docs", "examples"):
        texts += [
            p
            for p in (ROOT / folder).rglob("*")
            if p.suffix in {".py", ".md", ".toml", ".json", ".txt", ".html"}
        ]
    for path in texts:
        if path.exists():
            found = owner.search(path.read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{path.relative_to(ROOT)}: {found[0]}"


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *itertools.chain.from_iterable(extras)]:
        name = re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()
        assert name in pinned or name == "tradewind", f"{name} is not in constraints.txt"
