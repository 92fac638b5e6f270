"""Plain texts run nothing; scripts and code would."""

import pytest

from tradewind.data.model_files.scanner import scan_bytes


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n", "# A model card\n\nIt classifies.\n", "the\nof\nand\n", "Zürich: größer", "x\n",
        "label\tscore\ncat\t0.5\n", "1 0:3.5 7:1\n", "MIT License\n\nCopyright (c)\n",
    ],
    ids=range(8),
)  # fmt: skip
def test_plain_texts_are_clean(text):
    scan = scan_bytes(text.encode())
    assert (scan.format, scan.verdict) == ("text", "clean"), scan


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\nrm x\n", "x = 1\nimport os\nos.system('id')\n", "# model\nfrom torch import nn\n",
        "y = 2\ndef forward(x):\n    return x\n", "z\nclass Model(Base):\n    pass\n", "x\nexec('1')\n",
        "q = 1\nif __name__ == '__main__':\n    pass\n",
    ],
    ids=range(7),
)  # fmt: skip
def test_code_is_blocked(text):
    assert scan_bytes(text.encode()).verdict == "blocked"


def test_code_far_inside_is_found():
    text = b"word\n" * 300_000 + b"import os\n"
    assert {each.rule for each in scan_bytes(text).findings} == {"text-code"}


def test_bytes_behind_a_text_are_told():
    scan = scan_bytes(b"word\n" * 2000 + b"\x00\x01\x02")
    assert scan.verdict == "undecided" and scan.findings[0].rule == "text-binary"


def test_a_few_letters_may_be_a_cut_file():
    assert scan_bytes(b"GGU").verdict == "undecided"


def test_packages_from_an_address_are_noted():
    scan = scan_bytes(b"numpy\ngit+https://example.org/x.git\n")
    assert scan.verdict == "clean" and scan.findings[0].rule == "text-requirements"


CARD = """---
license: mit
---
# A model

class imbalance: none. from 2020 on. @someone

```python
from transformers import AutoModel
model = AutoModel.from_pretrained("x")
```

~~~sh
#!/bin/sh
~~~
"""


def test_examples_in_a_model_card_are_no_code():
    assert scan_bytes(CARD.encode()).verdict == "clean"
    assert scan_bytes((CARD + "import os\n").encode()).verdict == "blocked"


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_fences_hide_no_program(quotes):
    text = f"{quotes}\n```\n{quotes}\nimport os\n{quotes}\n```\n{quotes}\n"
    compile(text, "x", "exec")
    assert scan_bytes(text.encode()).verdict == "blocked"
