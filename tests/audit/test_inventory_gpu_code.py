"""GPU code in ELF files that these tests write byte by byte."""

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inventory_trees import InMemory, elf_file, fat_region

from tradewind.audit.inventory.gpu_code import gpu_code_of, read_gpu_code, unneeded

PTX, CUBIN = 1, 2


def code_of(*regions, name=".nv_fatbin"):
    return read_gpu_code(BytesIO(elf_file(sections=[(name, b"".join(regions)), (".other", b"x" * 64)])))


def test_regions_elements_and_devices():
    one = fat_region([(CUBIN, 70, 100), (CUBIN, 80, 200), (PTX, 80, 50)], padding=24)
    two = fat_region([(CUBIN, 80, 7)])
    code = code_of(one, two)
    assert [len(region.elements) for region in code.regions] == [3, 1] and not code.damaged
    assert code.by_device() == {"sm_70": 164, "compute_80": 114, "sm_80": 264 + 71}
    assert code.bytes == sum(code.by_device().values())
    assert code.section_bytes == len(one) + len(two)
    assert code_of(fat_region([(CUBIN, 90, 1)]), name="__nv_relfatbin").by_device() == {"sm_90": 65}


@pytest.mark.parametrize(
    ("elements", "target", "left"),
    [
        # The best cubin of the device's own major number, and PTX of the same.
        ([(CUBIN, 75), (CUBIN, 80), (CUBIN, 86), (PTX, 86), (CUBIN, 90)], 86, [(CUBIN, 86), (PTX, 86)]),
        ([(CUBIN, 80), (CUBIN, 86), (PTX, 90)], 89, [(CUBIN, 86)]),
        # No cubin runs: the highest PTX that can be translated, though an older cubin has a higher number.
        ([(CUBIN, 75), (PTX, 70), (PTX, 60), (PTX, 90)], 86, [(PTX, 70)]),
        ([(CUBIN, 75), (PTX, 75)], 86, [(PTX, 75)]),
        # Nothing is for this device: nothing is called unneeded.
        ([(CUBIN, 90), (PTX, 90)], 70, [(CUBIN, 90), (PTX, 90)]),
        ([(CUBIN, 70)], 80, [(CUBIN, 70)]),
    ],
)
def test_what_a_device_does_not_choose(elements, target, left):
    (region,) = code_of(fat_region([(kind, sm, 10) for kind, sm in elements])).regions
    gone = set(unneeded(region, target))
    names = {PTX: "ptx", CUBIN: "cubin"}
    assert [(e.kind, e.sm) for e in region.elements if e not in gone] == [(names[k], sm) for k, sm in left]


def test_each_region_is_judged_by_itself():
    code = code_of(fat_region([(CUBIN, 80, 1), (CUBIN, 86, 2)]), fat_region([(CUBIN, 80, 4)]))
    assert [each.bytes for each in code.unneeded(86)] == [65]


def test_a_header_that_does_not_hold_is_told_and_ends_the_reading():
    whole = fat_region([(CUBIN, 80, 100)])
    assert code_of(whole, b"\xff" * 32).damaged and len(code_of(whole, b"\xff" * 32).regions) == 1
    too_long = whole[:8] + (10**12).to_bytes(8, "little") + whole[16:]
    assert code_of(too_long).damaged and not code_of(too_long).regions
    inside = whole[:24] + (10**12).to_bytes(8, "little") + whole[32:]
    assert code_of(inside).damaged


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8), st.integers(0, 120))
def test_changed_bytes_raise_nothing(changes, target):
    content = bytearray(elf_file(sections=[(".nv_fatbin", fat_region([(CUBIN, 80, 40), (PTX, 80, 9)]) * 3)]))
    for at, value in changes:
        content[at % len(content)] = value
    code = read_gpu_code(BytesIO(bytes(content)))
    if code is not None:
        assert sum(each.bytes for each in code.unneeded(target)) <= code.bytes <= len(content)


def test_a_tree_tells_each_file_once():
    library = elf_file(sections=[(".nv_fatbin", fat_region([(CUBIN, 80, 2000)]))])
    files = InMemory(
        {
            "a/libx.so.1": library,
            "a/libx.so": library,
            "b/program": library,
            "b/data": library,
            "c/plain.so": elf_file(sections=[(".x", bytes(2000))]),
            "l.so": "-> a/libx.so",
        },
        nodes={"a/libx.so.1": 3, "a/libx.so": 3},
        modes={"b/program": 0o755},
    )
    assert list(gpu_code_of(files)) == ["a/libx.so", "b/program"]
    assert list(gpu_code_of(files, ["b/program"])) == ["b/program"]
    assert read_gpu_code(BytesIO(b"text")) is None
