"""torch.export's archives: programs, weights that are raw bytes, and what loading would evaluate."""

import io
import json
import zipfile

import pytest

from tradewind.data.model_files.scanner import scan_bytes

PROGRAM = {
    "schema_version": {"major": 8, "minor": 1},
    "graph_module": {
        "graph": {
            "nodes": [{"target": "torch.ops.aten.relu.default", "inputs": [], "outputs": []}],
            "tensor_values": {"x": {"sizes": [{"as_expr": {"expr_str": "s0", "hint": None}}]}},
        }
    },
}
META = {
    "dtype": 7, "sizes": [{"as_int": 2}], "strides": [{"as_int": 1}], "storage_offset": {"as_int": 0},
}  # fmt: skip
WEIGHTS = {
    "config": {"w": {"path_name": "weight_0", "use_pickle": False, "is_param": True, "tensor_meta": META}}
}


def archive(program=PROGRAM, weights=WEIGHTS, more=()):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, member in [
            ("m/archive_format", "pt2"),
            ("m/byteorder", "little"),
            ("m/models/model.json", json.dumps(program)),
            ("m/data/weights/model_weights_config.json", json.dumps(weights)),
            ("m/data/weights/weight_0", b"\x00\x00\x80?\x80\x02c?"),
            *more,
        ]:
            file.writestr(name, member)
    return content.getvalue()


def judged(content):
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


def program(target="torch.ops.aten.relu.default", expression="s0"):
    told = json.loads(json.dumps(PROGRAM))
    told["graph_module"]["graph"]["nodes"][0]["target"] = target
    told["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0]["as_expr"]["expr_str"] = expression
    return told


def test_a_program_with_raw_weights_is_clean():
    assert judged(archive()) == ("torch-export", "clean", set())


@pytest.mark.parametrize(
    "expression",
    [
        "2*s0 + 1",
        "Max(1, s0)",
        "Mod(s77, 8)",
        "FloorDiv(u0, 2)",
        "(s0 - 1)//2",
        "Add(Symbol('s3', integer=True), Integer(1))",
    ],
)
def test_arithmetic_on_shapes_is_clean(expression):
    assert judged(archive(program(expression=expression)))[1] == "clean"


@pytest.mark.parametrize(
    "target", ["_operator.add", "math.floor", "torch.sym_max", "torch.ops.quantized.add.default"]
)
def test_targets_of_torch_are_clean(target):
    assert judged(archive(program(target)))[1] == "clean"


def tensor(**change):
    return {"config": {"w": {**WEIGHTS["config"]["w"], **change}}}


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (archive(program("torch.ops.mylib.run.default")), "export-operator"),
        (archive(program("torch.ops.aten.from_file.default")), "export-operator"),
        (archive(program("torch.hub.load")), "export-operator"),
        (archive(program("_operator.attrgetter")), "export-operator"),
        (archive(program("os.system")), "export-operator"),
        (archive(program(expression="__import__('os').system('id')")), "export-expression"),
        (archive(program(expression="s0.__class__")), "export-expression"),
        (archive(program(expression="exec(s0)")), "export-expression"),
        (archive(program(expression="s0.free_symbols")), "export-expression"),
        (archive(program(expression="Symbol('s0', cls=print)")), "export-expression"),
        (archive(program(expression="Symbol('__import__')")), "export-expression"),
        (archive(weights=tensor(tensor_meta={**META, "sizes": [{"as_int": 200}]})), "export-weights"),
        (archive(weights=tensor(tensor_meta={**META, "sizes": [{"as_int": -2}]})), "export-weights"),
        (archive(weights=tensor(path_name="../../x")), "export-weights"),
        (archive(weights={"x": 1}), "export-weights"),
        (archive(more=[("m/data/aotinductor/model/x.so", b"\x7fELF")]), "export-native-code"),
        (archive(more=[("m/extra/run.py", "import os\n")]), "export-native-code"),
        (archive(weights=tensor(path_name="bad", use_pickle=True), more=[
            ("m/data/weights/bad", b"cos\nsystem\n(S'id'\ntR.")]), "pickle-global"),
        (archive(more=[("m/else/x", "text that is long\n")]), "export-member"),
    ],
    ids=range(19),
)  # fmt: skip
def test_what_loading_would_run_is_told(content, rule):
    _, verdict, rules = judged(content)
    assert verdict != "clean" and rule in rules, rules


def test_what_torch_exports_is_clean(tmp_path):
    """Its sample inputs are an archive inside of the archive, stored as they are."""
    torch = pytest.importorskip("torch")
    network, rows = torch.nn.Linear(4, 3).eval(), (torch.zeros(2, 4),)
    dynamic = ({0: torch.export.Dim("rows", min=1, max=64)},)
    torch.export.save(torch.export.export(network, rows, dynamic_shapes=dynamic), tmp_path / "x.pt2")
    assert judged((tmp_path / "x.pt2").read_bytes()) == ("torch-export", "clean", set())
