"""Bodies of /invocations: MLflow's, SageMaker's, and the Open Inference Protocol's."""

import io
import json

import numpy as np
import pytest
from served_wires import ask, body_of, routes_of
from small_engine import WEIGHTS, SmallEngine, made_rows

from tradewind.serving.server.http import invocations

ROWS = made_rows(3)
SCORES = ROWS @ WEIGHTS
_NPY = "application/x-npy"


def _ask(model, body, type_="application/json", engine=None, **headers):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    routes = routes_of(engine or SmallEngine(only=(model,)))
    return ask(routes, "POST", "/invocations", sent, Content_Type=type_, **headers)


def _npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        {
            "dataframe_split": {
                "columns": [f"c{n}" for n in range(64)],
                "data": ROWS.tolist(),
                "index": [0, 1, 2],
            }
        },
        {"dataframe_split": {"data": ROWS.tolist()}},
        {"dataframe_records": [{f"c{n}": value for n, value in enumerate(row)} for row in ROWS.tolist()]},
        {"instances": ROWS.tolist(), "params": {"top": 1}},
        {"instances": [{"features": row} for row in ROWS.tolist()]},
        {"inputs": ROWS.tolist()},
        {"inputs": {"rows": ROWS.tolist()}},
    ],
)
def test_mlflows_forms(body):
    engine = SmallEngine(only=("linear",))
    response = _ask("linear", body, engine=engine)
    assert response.status == 200
    found = json.loads(response.body)
    assert found.keys() == {"predictions"}
    np.testing.assert_array_equal(np.array(found["predictions"], np.float32), SCORES)
    assert engine.calls[0].parameters == body.get("params", {})


def test_tables_with_named_columns():
    split = {"columns": ["count", "height"], "data": [[2, 1.5], [3, 1]]}
    for body in (
        {"dataframe_split": split},
        {"dataframe_records": [{"count": 2, "height": 1.5}, {"count": 3, "height": 1}]},
    ):
        assert json.loads(_ask("columns", body).body) == {"predictions": [3.5, 4.0]}


def test_a_bare_list_is_answered_by_a_bare_list():
    np.testing.assert_array_equal(
        np.array(json.loads(_ask("linear", ROWS.tolist()).body), np.float32), SCORES
    )
    one = json.loads(_ask("linear", ROWS[0].tolist(), "").body)
    np.testing.assert_array_equal(np.array(one, np.float32), SCORES[:1])


@pytest.mark.parametrize("headed", [True, False])
@pytest.mark.parametrize("type_", ["text/csv", "text/csv; charset=utf-8", "TEXT/CSV"])
def test_csv_with_and_without_header(headed, type_):
    lines = [",".join(map(repr, row)) for row in ROWS.tolist()]
    if headed:
        lines.insert(0, ",".join(f"column {n}" for n in range(64)))
    response = _ask("linear", "\r\n".join(lines).encode(), type_, Accept="text/csv")
    assert response.status == 200 and response.type == "text/csv"
    found = np.loadtxt(io.BytesIO(response.body), delimiter=",", dtype=np.float32)
    np.testing.assert_array_equal(found, SCORES)


def test_a_csv_header_is_told_from_rows():
    assert json.loads(_ask("columns", b"count,height\n2,1.5\n", "text/csv").body) == {"predictions": [3.5]}
    assert json.loads(_ask("columns", b"1.5,2\n", "text/csv").body) == {"predictions": [3.5]}
    assert json.loads(_ask("texts", b"first\nsecond", "text/csv").body) == {
        "predictions": ["first", "second"]
    }
    assert json.loads(_ask("texts", b"in_text\nx", "text/csv").body) == {"predictions": ["x"]}
    said = _ask("texts", b"head\nx", "text/csv; header=present")
    assert json.loads(said.body) == {"predictions": ["x"]}
    quoted = _ask("texts", b'"a, ""b"""\n"two\nlines"\n', "text/csv; header=absent", Accept="text/csv")
    assert quoted.body == b'"a, ""b"""\n"two\nlines"\n'


@pytest.mark.parametrize(
    "array", [ROWS, ROWS.astype(np.float64), np.asfortranarray(ROWS), ROWS.astype(">f4"), ROWS[0]]
)
def test_npy_both_ways(array):
    response = _ask("linear", _npy(array), _NPY, Accept=_NPY)
    assert response.status == 200 and response.type == _NPY
    found = np.load(io.BytesIO(response.body), allow_pickle=False)
    np.testing.assert_array_equal(found, SCORES if array.ndim == 2 else SCORES[:1])


def test_json_lines_both_ways():
    lines = b"".join(json.dumps({"features": row}).encode() + b"\n" for row in ROWS.tolist())
    response = _ask("linear", lines, "application/jsonlines", Accept="application/jsonlines")
    found = [json.loads(line)["scores"] for line in response.body.splitlines()]
    np.testing.assert_array_equal(np.array(found, np.float32), SCORES)


@pytest.mark.parametrize("binary", [True, False])
def test_a_body_of_the_open_inference_protocol(binary):
    tensor = {"name": "rows", "shape": [3, 64], "datatype": "FP32"}
    if not binary:
        response = _ask("linear", {"inputs": [{**tensor, "data": ROWS.ravel().tolist()}]})
        (output,) = json.loads(response.body)["outputs"]
        np.testing.assert_array_equal(np.array(output["data"], np.float32).reshape(3, 10), SCORES)
        return
    inputs = [{**tensor, "parameters": {"binary_data_size": 768}}]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    triton = f"application/vnd.sagemaker-triton.binary+json;json-header-size={len(header)}"
    for type_, more in (
        (triton, {}),
        ("application/octet-stream", {"Inference_Header_Content_Length": str(len(header))}),
    ):
        response = _ask("linear", header + ROWS.tobytes(), type_, **more)
        np.testing.assert_array_equal(
            np.frombuffer(body_of(response)[-120:], np.float32).reshape(3, 10), SCORES
        )


def test_several_outputs_in_each_type():
    label = f"class {SCORES[0].argmax()}"
    row = (
        _ask("labelled", {"instances": ROWS[:1].tolist()}, Accept="text/csv").body.decode().strip().split(",")
    )
    assert row[0] == label and len(row) == 11
    lines = _ask("labelled", ROWS.tolist(), Accept="application/x-ndjson").body.splitlines()
    assert len(lines) == 3 and json.loads(lines[0])["label"] == label
    refused = _ask("labelled", ROWS.tolist(), Accept=_NPY)
    assert refused.status == 400 and "holds one array" in json.loads(refused.body)["message"]
    assert _ask("texts", ["a"], Accept=_NPY).status == 400


@pytest.mark.parametrize(
    ("accept", "type_"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, application/*;q=0.5", "application/json"),
        ("application/json;q=0.2, text/csv;q=0.9", "text/csv"),
        ("application/x-ndjson", "application/jsonlines"),
        ("text/csv;q=x, application/x-npy;q=0.1", _NPY),
    ],
)
def test_accept_chooses(accept, type_):
    response = _ask("linear", ROWS.tolist(), Accept=accept)
    assert (response.status, response.type) == (200, type_)


def test_types_that_are_not_known_are_refused():
    response = _ask("linear", b"\x0a", "application/x-recordio-protobuf")
    assert response.status == 415
    said = json.loads(response.body)
    assert said["error_code"] == "UNSUPPORTED_MEDIA_TYPE" and "send application/json" in said["message"]
    assert "text/csv" in dict(response.headers)["Accept"]
    response = _ask("linear", ROWS.tolist(), Accept="image/png")
    assert response.status == 406 and json.loads(response.body)["error_code"] == "NOT_ACCEPTABLE"


class _Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    ("body", "type_", "said"),
    [
        (b"", "application/json", "no JSON"),
        ({}, "application/json", "nothing to predict for"),
        ({"instances": [[1]], "inputs": [[1]]}, "application/json", "has instances and inputs"),
        ({"dataframe_split": {"columns": ["a"]}}, "application/json", "data"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "application/json", "row 0 has 2 values"),
        ({"dataframe_records": {"a": 1}}, "application/json", "give a list"),
        (b"some text", "", "no JSON"),
        (b"", "text/csv", "no rows"),
        (b"\xff\xfe", "text/csv", "UTF-8"),
        (b'"open', "text/csv", "unexpected end"),
        (b"1,2\n3\n", "text/csv", "row 1 has 1 values, not 2"),
        (b"1", "text/csv; charset=utf-16", "UTF-8"),
        (b"\x93NUMPY", _NPY, "no array in NumPy's format"),
        (b"PK\x03\x04", _NPY, "no array in NumPy's format"),
        (_npy(ROWS)[:-1], _NPY, "does not take"),
        (_npy(ROWS).replace(b"(3, 64)", b"(9**9,)"), _NPY, "no array in NumPy's format"),
        (_npy(ROWS).replace(b"(3, 64), }  ", b"(300000000000, 64), }"), _NPY, "NumPy's format|does not take"),
        (_npy(np.array([_Trap()], object), allow_pickle=True), _NPY, "not taken"),
        (_npy(np.zeros(2, [("a", "i4")])), _NPY, "NumPy's format"),
        (_npy(ROWS.astype(np.complex64)), _NPY, "not taken"),
        (b'{"features": [1]}\n{', "application/jsonlines", "object"),
    ],
)  # fmt: skip
def test_a_body_that_is_wrong_is_one_clear_400(body, type_, said):
    response = _ask("linear", body, type_)
    found = json.loads(response.body)
    assert response.status == 400 and found["error_code"] == "BAD_REQUEST"
    assert any(words in found["message"] for words in said.split("|")), found


@pytest.mark.parametrize("header", ["", "count,height\n", "height,count\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_long_table_is_read_in_pieces_to_the_same_numbers(header, end):
    rows = 30_000
    count, height = np.arange(rows), np.arange(rows) / 8
    first, second = (count, height) if header.startswith("count") else (height, count)
    lines = [f"{one!s},{other!s}" for one, other in zip(first.tolist(), second.tolist(), strict=True)]
    body = header.strip() + (end if header else "") + end.join(lines)
    assert len(body) > invocations._LONG
    response = _ask("columns", body.encode(), "text/csv")
    assert response.status == 200
    assert json.loads(response.body)["predictions"] == (count + height).tolist()
    for wrong, said in ((body + end + "1,2,3", "3 values"), (body + end + "x,y", ""), (body + end + '"', "")):
        refused = _ask("columns", wrong.encode(), "text/csv")
        assert refused.status == 400 and said in json.loads(refused.body)["message"]
