"""Files of pickles: one or several in a row, joblib's with arrays between, and torch's files of old."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from typing import Any

from tradewind.data.model_files.allowed.lists import shipped
from tradewind.data.model_files.findings import Rule
from tradewind.data.model_files.inspection import Allowed, Budget, Exhausted, Inspection, Reading, Source
from tradewind.data.model_files.pickles import rules
from tradewind.data.model_files.pickles.machine import Machine, Persistent, Stopped, is_opcode
from tradewind.data.model_files.pickles.stream import Broken, Stream
from tradewind.data.model_files.pickles.stubs import Blob
from tradewind.data.model_files.pickles.torch_legacy import MAGIC, Storages

_LOOKED_AT = 512  # opcodes that nothing but a pickle goes through
_IMPORTABLE = re.compile(r"\w[\w.\-<>]*")  # what a module and a name in it can be called
_NOTHING = Allowed()
_LIMITS = Budget()
_Told = tuple[Rule, str, int, str, str, str]


def read_pickle(
    source: Source, inspection: Inspection, offset: int = 0, *, persistent: Persistent | None = None
) -> tuple[Any, int]:
    """What the pickle at `offset` would make, in stubs, and where it ends; what is wrong is told.

    Broken where it cannot be read to its end, which is told too.
    """
    told: list[_Told] = []
    inspection.spend(opcodes=1)  # nothing is begun once the budget is spent
    machine = _machine(source, inspection, offset, told, persistent)
    try:
        value = machine.load()
    except Broken as error:
        _tell(source, inspection, told)
        inspection.found(
            rules.BROKEN, f"the pickle breaks off: {error}", source=source, offset=machine.position
        )
        raise
    except Stopped:
        _tell(source, inspection, told)
        raise Exhausted("the pickle has more opcodes or memo slots than one scan may follow") from None
    finally:
        inspection.spend(opcodes=machine.opcodes)
    _tell(source, inspection, told)
    if machine.stream.in_frame:
        inspection.found(
            rules.TRAILING, "the frame goes on after the pickle's end", source=source,
            offset=machine.stream.position,
        )  # fmt: skip
    for content, loader in machine.nested:
        _inside(content, loader, source, inspection)
    if machine.first_array is not None:
        _without_joblib(source, inspection, offset, machine.first_array)
    return value, machine.stream.position + machine.stream.in_frame


def _machine(
    source: Source, inspection: Inspection, offset: int, told: list[_Told], persistent: Persistent | None,
    arrays: bool = True,
) -> Machine:  # fmt: skip
    return Machine(
        Stream(source, offset), inspection.allowed, inspection.budget, lambda *each: told.append(each),
        persistent=persistent, arrays=arrays,
    )  # fmt: skip


def _tell(source: Source, inspection: Inspection, told: list[_Told]) -> None:
    for rule, message, offset, opcode, name, shown in told:
        inspection.found(rule, message, source=source, offset=offset, opcode=opcode, name=name, preview=shown)


def _inside(content: Any, loader: str, source: Source, inspection: Inspection) -> None:
    """Inspect a string that an allowed function loads as a file."""
    if type(content) is Blob:
        content = content.source.read(content.offset, content.size)
    inspection.inside(content, f"{loader}()", source)


def _without_joblib(source: Source, inspection: Inspection, offset: int, array: int) -> None:
    """Read the file without joblib's knowledge: what lies in an array must be no instruction then."""
    if not any(map(is_opcode, source.read(array, 1))):
        return  # such a reader comes as far as this, as we did, and no further
    told: list[_Told] = []
    machine = _machine(source, inspection, offset, told, None, arrays=False)
    with contextlib.suppress(Broken, Stopped):
        machine.load()
    inspection.spend(opcodes=machine.opcodes)
    for rule, message, where, opcode, name, shown in told:
        if where >= array and _reaches(rule, name):
            inspection.found(
                rules.HIDDEN, f"read as a plain pickle, {message}", source=source, offset=where,
                opcode=opcode, name=name, preview=shown,
            )  # fmt: skip


def _reaches(rule: Rule, name: str) -> bool:
    """Whether a finding is more than what any bytes or the first line of any text would lead to."""
    if rule in (rules.CALL, rules.ARGUMENTS, rules.BUILD, rules.ITEMS):
        return _IMPORTABLE.fullmatch(name) is not None
    return rule in (rules.GLOBAL, rules.ATTRIBUTE) and name.partition(".")[0] in _modules()


@functools.cache
def _modules() -> frozenset[str]:
    """Modules that are there to be imported wherever models are loaded."""
    return frozenset(sys.stdlib_module_names) | {name.partition(".")[0] for name in shipped().globals}


def recognises(source: Source) -> bool:
    """Whether a reader of pickles would execute something of it, or find it whole."""
    head = source.read(0, 2)
    if len(head) == 2 and head[0] == 0x80 and head[1] <= 5:
        return True
    return runs_as_pickle(source)


def runs_as_pickle(source: Source) -> bool:
    """Whether the bytes do as a pickle: they name something, or go through to a STOP, or go on for long."""
    if not source.size:
        return False
    told: list[_Told] = []
    machine = Machine(
        Stream(source), _NOTHING, _LIMITS, lambda *each: told.append(each), persistent=lambda pid: pid,
    )  # fmt: skip
    try:
        machine.load(_LOOKED_AT)
    except Broken:
        return any(_reaches(each[0], each[4]) for each in told)
    except Stopped:
        return True
    return machine.stream.position > 1


def inspect(source: Source, inspection: Inspection) -> None:
    """Inspect every pickle of a file, one after the other."""
    offset, count = 0, 0
    storages = Storages(source)
    while offset < source.size:
        inspection.spend(members=1)
        if count and not _begins(source, offset):
            inspection.found(
                rules.TRAILING, f"{source.size - offset:,} bytes follow the pickle that are none",
                source=source, offset=offset,
            )  # fmt: skip
            return
        try:
            value, offset = read_pickle(source, inspection, offset, persistent=storages.identified(count))
        except Broken:
            return
        count += 1
        if count == 1 and type(value) is int and value == MAGIC:
            storages.legacy = True
        elif storages.legacy and count == 5:
            offset = storages.passed(value, offset, inspection)
            if offset < source.size:
                inspection.found(
                    rules.TRAILING, f"{source.size - offset:,} bytes follow the last storage",
                    source=source, offset=offset,
                )  # fmt: skip
            return
    if storages.legacy:
        inspection.found(
            rules.BROKEN, "the file ends before its storages are listed", source=source, offset=offset
        )
    elif count > 1:
        inspection.found(rules.STACKED, f"{count} pickles follow one another", source=source)


def _begins(source: Source, offset: int) -> bool:
    """Whether another pickle may begin here."""
    head = source.read(offset, 2)
    return len(head) == 2 and ((head[0] == 0x80 and head[1] <= 5) or head[0] in b"(]}cilNIJKLMSTUVXFG)P")


READING = Reading("pickle", recognises, inspect, {rule.id: rule for rule in (*rules.PICKLES, *rules.TORCH)})
