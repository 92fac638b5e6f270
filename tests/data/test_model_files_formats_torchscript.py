"""TorchScript: programs that torch writes pass, operators on files and of libraries do not."""

import io
import zipfile

import pytest

from tradewind.data.model_files.scanner import scan_bytes

torch = pytest.importorskip("torch")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return torch.relu(self.linear(x))
        return self.linear(x)


@pytest.fixture(scope="module")
def program():
    content = io.BytesIO()
    torch.jit.save(torch.jit.script(Net().eval()), content)
    return content.getvalue()


def judged(content):
    scan = scan_bytes(content)
    return scan.format, scan.verdict, {each.rule for each in scan.findings}


def changed(program, line, name=None):
    content = io.BytesIO()
    original = zipfile.ZipFile(io.BytesIO(program))
    with zipfile.ZipFile(content, "w") as archive:
        for info in original.infolist():
            member = original.read(info)
            if info.filename.endswith(".py"):
                member += line.encode()
            archive.writestr(info.filename, member)
        if name:
            archive.writestr(f"{original.namelist()[0].partition('/')[0]}/{name}", line)
    return content.getvalue()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_is_clean(program):
    assert judged(program) == ("torchscript", "clean", set())
    assert judged(changed(program, "# a comment about torch.save(x)\n"))[1] == "clean"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("  x = torch.save(y, 'z')\n", "torchscript-file"),
        ("  x = torch.from_file('/etc/passwd', False, 9)\n", "torchscript-file"),
        ("  x = ops.aten.from_file('/etc/passwd')\n", "torchscript-file"),
        ("  x = ops.mylib.run(y)\n", "torchscript-library"),
        ("  x : __torch__.torch.classes.evil.Thing\n", "torchscript-library"),
        ("import os\n", "torchscript-code"),
    ],
)
def test_an_operator_is_told(program, line, rule):
    _, verdict, rules = judged(changed(program, line))
    assert verdict != "clean" and rule in rules, rules


def test_a_pickle_below_code_is_judged(program):
    _, verdict, rules = judged(changed(program, "cos\nsystem\n(S'id'\ntR.", "code/__torch__/x.debug_pkl"))
    assert verdict == "blocked" and any(each.startswith("pickle-") for each in rules)
