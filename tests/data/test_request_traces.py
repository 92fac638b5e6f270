"""Request traces: four layouts, counted by hand, and one clear error for each way to be broken."""

import gzip

import numpy as np
import pytest

from tradewind.data.request_traces import RequestTrace, request_trace
from tradewind.errors import Misuse


def write(tmp_path, text, name="trace.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_minutes_are_counted_and_gaps_are_empty(tmp_path):
    text = "period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:31:00,11\n1998-04-30 21:34:00,5\n"
    trace = request_trace(write(tmp_path, text, "wc.csv.gz"))
    assert trace.name == "wc"
    assert trace.start == 893971800.0  # 1998-04-30T21:30:00Z
    assert trace.interval == 60.0
    assert trace.counts.tolist() == [2.0, 11.0, 0.0, 0.0, 5.0]
    assert trace.end == trace.start + 300
    assert trace.rates[1] == pytest.approx(11 / 60)


def test_minutes_are_added_up(tmp_path):
    text = "period,count\n" + "".join(f"2020-01-01 00:0{at}:00,{at}\n" for at in range(7))
    assert request_trace(write(tmp_path, text), interval=180).counts.tolist() == [3.0, 12.0]


def test_single_requests_are_counted_by_the_second(tmp_path):
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
        "2023-11-16 18:17:03.0319600,3180,8\n2023-11-16 18:17:06.0000000,110,27\n"
    )
    trace = request_trace(write(tmp_path, text))
    assert trace.start == 1700158620.0  # 18:17:00, the minute of the first
    assert trace.counts.tolist() == [0, 0, 0, 2, 0, 0, 1]


def test_functions_are_added_up(tmp_path):
    text = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\na,b,c,http,1,0,4\na,b,d,timer,2,2,2\n"
    trace = request_trace(write(tmp_path, text))
    assert (trace.start, trace.interval) == (0.0, 60.0)
    assert trace.counts.tolist() == [3.0, 2.0, 6.0]


def test_invocations_are_counted_at_their_starts(tmp_path):
    text = "app,func,end_timestamp,duration\na,b,0.5,0.3\na,b,2.5,1.0\na,c,1.7,0.1\n"
    assert request_trace(write(tmp_path, text)).counts.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:30:30,1\n",
            "line 3: period: not a whole number",
        ),
        ("period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:29:00,1\n", "line 3: period: not later"),
        ("period,count\n1998-04-30 21:30:00,two\n", "line 2: count: 'two' is no number"),
        ("period,count\n1998-04-30 21:30:00,nan\n", "line 2: count: 'nan' is no number"),
        ("period,count\n1998-04-30 21:30:00,-3\n", "line 2: count: '-3' is no number"),
        ("period,count\nyesterday,3\n", "line 2: period: 'yesterday' is no moment"),
        ("period,count\n1998-04-30 21:30:00\n", "line 2: 1 fields, not 2"),
        ("period,count\n1000-01-01 00:00:00,1\n9000-01-01 00:00:00,1\n", "intervals"),
        ("period,count\n", "no record"),
        ("", "no record"),
        ("when,what\n1,2\n", "line 1: the columns 'when,what' are no request trace's"),
        ("HashOwner,HashApp,HashFunction,Trigger,1,3\na,b,c,http,1,1\n", "the minutes do not count from 1"),
    ],
)
def test_what_is_broken_is_told(tmp_path, text, told):
    with pytest.raises(Misuse) as caught:
        request_trace(write(tmp_path, text))
    assert told in str(caught.value)
    assert "trace.csv" in str(caught.value)


def test_broken_files_are_told(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"period,count\n")[:-9])
    with pytest.raises(Misuse, match="broken gzip"):
        request_trace(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misuse, match="no text"):
        request_trace(path)
    with pytest.raises(Misuse, match="cannot be read"):
        request_trace(tmp_path / "nothing.csv")
    with pytest.raises(Misuse, match="no multiple"):
        request_trace(write(tmp_path, "period,count\n1998-04-30 21:30:00,2\n"), interval=90)


def test_a_trace_is_scaled_moved_and_cut():
    trace = RequestTrace("t", 100.0, 10.0, np.arange(6.0))
    assert trace.scaled(2.0).counts.tolist() == [0, 2, 4, 6, 8, 10]
    assert trace.moved(0.0).end == 60.0
    cut = trace.window(115.0, 145.0)
    assert (cut.start, cut.counts.tolist()) == (120.0, [2.0, 3.0])
    with pytest.raises(Misuse, match="nothing recorded"):
        trace.window(200.0, 300.0)
    with pytest.raises(Misuse, match="factor"):
        trace.scaled(0.0)


def test_the_recorded_traces(bench_data):
    """Their published totals: the World Cup's 1,352,804,107 requests, and Azure's 8,819."""
    whole = request_trace(bench_data("requests/worldcup98-per-minute.csv.gz"))
    assert whole.counts.sum() == 1_352_804_107
    assert whole.counts.max() == 229_426
    code = request_trace(bench_data("requests/azure-llm-2023-code.csv.gz"))
    assert code.counts.sum() == 8_819
    sample = request_trace(bench_data("requests/azure-functions-2019-sample/invocations.csv"))
    assert len(sample.counts) == 1440
    assert request_trace(bench_data("requests/azure-functions-2019-sample/Azure2021_30.csv")).counts.sum() > 0
