"""A profile: the folder that keeps what was recorded of one image, run by run.

profile.json          the image, the digest of its tree, and the workloads in the order of their runs
runs/NAME.jsonl.gz    the events of each run
tree/                 the image unpacked, where it is no directory
proof.json            the last verification, once there is one
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from tradewind.audit.images.opening import Image
from tradewind.audit.images.unpacking import unpack
from tradewind.audit.slimming.policy import Policy
from tradewind.audit.tracing.backends.recorded import read_recorded, write_recorded
from tradewind.audit.tracing.events import Event, Run, RunHeader
from tradewind.audit.tracing.outcome import Recorded
from tradewind.audit.tracing.reading import read_events
from tradewind.audit.tracing.workload import Workload
from tradewind.audit.trees import Tree
from tradewind.audit.verification.comparing import Bounds
from tradewind.audit.verification.proof import Proof, proof_bytes, read_proof
from tradewind.data.durable_files import write_durably
from tradewind.errors import Misuse
from tradewind.session.audit.environment import is_environment

FORMAT = "tradewind-profile-1"
_ABOUT, _RUNS, _TREE, _PROOF = "profile.json", "runs", "tree", "proof.json"


class About(Struct, frozen=True, kw_only=True):
    """What a profile is of."""

    format: str = FORMAT
    image: str
    """As it was named, absolute."""
    directory: bool
    """Whether it is a directory, and is run as it stands."""
    environment: bool = False
    """Whether it is an environment of Python, whose runs are the machine's own, unconfined."""
    tree: str
    """The digest of its tree."""
    workloads: tuple[Workload, ...] = ()
    """Those that were recorded, in the order of their runs."""
    beside: tuple[Workload, ...] = ()
    policy: Policy = Policy()
    bounds: Bounds = Bounds()


class Profile:
    """The folder of one image's runs. One process at a time writes to it."""

    def __init__(self, folder: Path, about: About) -> None:
        self.folder, self.about = folder, about

    @property
    def name(self) -> str:
        """What the image is called among several: the folder's name."""
        return self.folder.absolute().name

    @property
    def proof_path(self) -> Path:
        """Where the last verification lies, if there was one."""
        return self.folder / _PROOF

    def root(self, progress: Callable[[int], None] | None = None) -> Path:
        """The image as a directory: itself if it is one, else unpacked here, once."""
        if self.about.directory:
            return Path(self.about.image)
        tree = self.folder / _TREE
        if not tree.exists():
            unpack(self.about.image, tree, progress=progress)
        return tree

    def keep(self, recorded: Recorded, workload: Workload) -> None:
        """Keep a recorded run; one of the same name is replaced."""
        header = recorded.run.header
        # What the layer over the tree took is told as writes, so that reading the events says the same again.
        known = {event.path for event in recorded.events if event.op == "write"}
        wrote = [f"/{each.path}" for each in recorded.outcome.written]
        writes = [Event(header.seconds, 0, "write", path) for path in wrote if path not in known]
        events = (*recorded.events, *writes)
        write_recorded(self._path(header.name), header, events)
        others = tuple(each for each in self.about.workloads if each.name != workload.name)
        self.change(workloads=(*others, workload))

    def change(self, **fields: object) -> None:
        """Write what the profile is of anew, with these fields changed."""
        self.about = msgspec.structs.replace(self.about, **fields)
        _write(self.folder, self.about)

    def runs(self, tree: Tree) -> tuple[Run, ...]:
        """The recorded runs in their order. Misuse, naming it, for one that is damaged or of another tree."""
        found = []
        for workload in self.about.workloads:
            header, events = self._recorded(workload.name)
            found.append(Run(header, read_events(events, tree)))
        return tuple(found)

    def events(self) -> dict[str, tuple[Event, ...]]:
        """The events of each recorded run, by its name; Misuse as `runs` raises it."""
        return {each.name: self._recorded(each.name)[1] for each in self.about.workloads}

    def first_opened(self) -> tuple[str, ...]:
        """Paths in the order in which runs first opened them."""
        opened = (
            event.path.lstrip("/")
            for events in self.events().values()
            for event in events
            if event.ok and event.op in ("open", "execute")
        )
        return tuple(dict.fromkeys(opened))

    def _recorded(self, name: str) -> tuple[RunHeader, tuple[Event, ...]]:
        path = self._path(name)
        if not path.exists():
            raise Misuse("a recorded run is gone", source=str(path), fix=f"Trace {name} again.")
        header, events, damage = read_recorded(path)
        if damage:
            raise Misuse(f"the record is damaged: {damage[0]}", source=str(path), fix="Trace it again.")
        if header.tree != self.about.tree:
            raise Misuse("the run is of another tree", source=str(path), fix="Trace it again.")
        return header, events

    def prove(self, proof: Proof) -> None:
        """Keep a verification."""
        write_durably(self.proof_path, proof_bytes(proof))

    def proof(self) -> Proof | None:
        """The last verification; Misuse if it was altered."""
        path = self.proof_path
        return read_proof(path.read_bytes(), str(path)) if path.exists() else None

    def _path(self, name: str) -> Path:
        return self.folder / _RUNS / f"{name}.jsonl.gz"


def open_profile(folder: Path) -> Profile:
    """The profile in `folder`. Misuse if there is none."""
    path = folder / _ABOUT
    try:
        about = msgspec.json.decode(path.read_bytes(), type=About)
    except FileNotFoundError:
        raise Misuse(
            "there is no profile here", source=str(folder), field="profile",
            fix="Record one first: tradewind audit trace IMAGE --run COMMAND --profile FOLDER.",
        ) from None  # fmt: skip
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Misuse(f"is no profile ({problem})", source=str(path), fix="Record it again.") from None
    if about.format != FORMAT:
        raise Misuse(f"the format is {about.format!r}", source=str(path), fix=f"This version reads {FORMAT}.")
    return Profile(folder, about)


def profile_of(folder: Path, image: Image) -> Profile:
    """The profile in `folder` of an opened image, made if there is none.

    Raises Misuse if the folder's profile is of another tree.
    """
    if (folder / _ABOUT).exists():
        found = open_profile(folder)
        if found.about.tree != image.digest:
            raise Misuse(
                f"the profile is of another tree ({found.about.image})", source=str(folder), field="profile",
                fix="Name another folder, or remove this one.",
            )  # fmt: skip
        return found
    chosen = f"@{image.reference}" if image.reference else ""
    source = f"{Path(image.source).absolute()}{chosen}"
    about = About(
        image=source, directory=image.kind == "directory", tree=image.digest,
        environment=is_environment(image),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, about)
    return Profile(folder, about)


def _write(folder: Path, about: About) -> None:
    write_durably(folder / _ABOUT, msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n")
