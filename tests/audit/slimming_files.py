"""Small trees in memory, with content, runs over them, and their closures with and without a rule."""

from io import BytesIO

from tradewind.audit.packages import Inventory, Package
from tradewind.audit.slimming import closure
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.tracing.events import Run, RunHeader, Touched
from tradewind.audit.trees import Entry, Tree
from tradewind.errors import Misuse

ALL = ("open", "execute", "stat", "readlink", "list", "write")


class InMemory:
    """Files of which only the test knows."""

    def __init__(self, entries, contents):
        self.tree = Tree(entries)
        self.contents = contents

    def open(self, path):
        return BytesIO(self.contents[path])

    def read(self, path, limit=64 << 20):
        if len(self.contents[path]) > limit:
            raise Misuse("too long", source=path)
        return self.contents[path]


def files_of(given, *, layers=None, modes=None, nodes=None):
    """A tree from {path: content}: text `-> target` is a link, None a directory; folders above are made."""
    entries, contents = {}, {}
    for path, content in given.items():
        layer = (layers or {}).get(path, 0)
        if content is None:
            entries[path] = Entry(path, "directory", mode=0o755, layer=layer)
        elif isinstance(content, str) and content.startswith("-> "):
            entries[path] = Entry(path, "link", target=content[3:], layer=layer, mode=0o777)
        else:
            contents[path] = content.encode() if isinstance(content, str) else content
            mode = (modes or {}).get(path, 0o755 if contents[path][:2] in (b"#!", b"\x7fE") else 0o644)
            entries[path] = Entry(
                path, "file", size=len(contents[path]), mode=mode, layer=layer, modified=1.6e9,
                node=(nodes or {}).get(path, 0),
            )  # fmt: skip
    for path in list(entries):
        while path := path.rpartition("/")[0]:
            entries.setdefault(path, Entry(path, "directory", mode=0o755))
    return InMemory(entries.values(), contents)


def run(name="first", sees=ALL, **touched):
    """A run that touched these paths."""
    header = RunHeader("tradewind-trace-1", name, "strace", ("x",), "", exit_code=0, sees=sees)
    return Run(header, Touched(**{key: frozenset(paths) for key, paths in touched.items()}))


def packages_of(files, *packages):
    """An inventory of these packages."""
    return Inventory(files.tree, {each.key: each for each in packages})


def pip(name, files, records=(), **more):
    """A package of pip."""
    return Package("pip", name, "1.0", tuple(files), tuple(records), **more)


def closed(files, *runs, packages=(), without=None, also=None, **policy):
    """The closure under a policy of these switches, or under the rules but one."""
    inventory = packages_of(files, *packages)
    seeds, growths = closure.SEEDS, closure.GROWTHS
    if without is not None:
        assert without in (*seeds, *growths)
    closure.SEEDS = tuple(each for each in seeds if each is not without)
    closure.GROWTHS = tuple(each for each in growths if each is not without)
    try:
        return closure.close(files, runs, inventory, Policy(**policy), also)
    finally:
        closure.SEEDS, closure.GROWTHS = seeds, growths
