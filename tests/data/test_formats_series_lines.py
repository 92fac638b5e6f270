"""Series in JSON Lines, as SageMaker writes them, through `open_data`; what is wrong is told."""

import gzip

import numpy as np
import pytest

from tradewind.algorithms.series import unpacked_series
from tradewind.data.formats.series_lines import parse_series
from tradewind.data.streams import open_data
from tradewind.errors import Misuse

TEXT = b"""{"start": "2026-01-01 00:00:00", "target": [4, null, 0.0, "NaN", NaN, 5.5], "cat": [0, 3]}

{"start": "2026-01-02", "target": [1], "cat": [1, 2], "item_id": "b"}
"""


def test_missing_values_categories_and_blank_lines() -> None:
    table = parse_series(TEXT, "x.jsonl")
    block = unpacked_series(table.batch)
    assert np.array_equal(block.target[0], [4, np.nan, 0, np.nan, np.nan, 5.5], equal_nan=True)
    assert block.categories.tolist() == [[0, 3], [1, 2]] and block.length.tolist() == [6, 1]
    assert table.where(1) == "line 3" and not table.schema.labelled


@pytest.mark.parametrize("name", ["series.jsonl", "series.jsonl.gz", "series.data"])
def test_a_file_is_opened_cached_and_cut(tmp_path, name) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(TEXT) if name.endswith("gz") else TEXT)
    data = open_data(path, format="series" if name.endswith("data") else "auto", cache=tmp_path / "cache")
    parts = [batch for worker in range(2) for batch in data.part(worker, 2, 1).batches()]
    assert [unpacked_series(each).length[0] for each in parts] == [6, 1]
    saved = next((tmp_path / "cache").glob("*.safetensors"))
    assert open_data(saved).digest() == data.digest()


def test_the_number_of_columns_can_be_fixed() -> None:
    wide = parse_series(TEXT, "x", features=20 + 2 + 5)
    assert wide.batch.features == 27 and unpacked_series(wide.batch).layout.span == 20
    with pytest.raises(Misuse, match=r"line 1: 6 steps do not fit in 3"):
        parse_series(TEXT, "x", features=10)
    with pytest.raises(Misuse, match="cannot hold"):
        parse_series(TEXT, "x", features=6)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "x.jsonl: there are no series"),
        (b'{"start": "2026-01-01", "target": [1]}\n{oops', "x.jsonl: line 2: not JSON"),
        (b"[1, 2]", "x.jsonl: line 1: series: list is no series"),
        (b'{"target": [1]}', "x.jsonl: line 1: start: it is absent"),
        (b'{"start": "2026-01-01", "target": [1, 1e999]}', "line 1: target: step 1 is infinite"),
        (
            b'{"start": "2026-01-01", "target": [1]}\n{"start": "2026-01-01", "target": [1], "cat": 1}',
            "line 2: cat: 1 where the first series has 0",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, match) -> None:
    with pytest.raises(Misuse, match=match):
        parse_series(text, "x.jsonl")


def test_columns_have_no_names(tmp_path) -> None:
    (tmp_path / "s.jsonl").write_bytes(TEXT)
    with pytest.raises(Misuse, match="series have no columns"):
        open_data(tmp_path / "s.jsonl", features=["target"])
