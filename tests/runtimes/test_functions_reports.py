"""The REPORT line, written and read; AWS's own is read too."""

import pytest

from tradewind.runtimes.functions.reports import Report, billed_ms, line, report_in

AWS = (
    "START RequestId: 6f7f0961 Version: $LATEST\nhello\nEND RequestId: 6f7f0961\n"
    "REPORT RequestId: 6f7f0961\tDuration: 2.38 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 36 MB\tInit Duration: 137.61 ms\t\n"
)


def test_a_report_of_lambda_is_read():
    assert report_in(AWS) == Report("6f7f0961", 2.38, 3, 128, 36, 137.61)
    assert report_in(AWS).cold and report_in(AWS).gb_seconds == pytest.approx(0.003 / 8)


def test_what_is_written_is_read():
    for report in (Report("a-b", 1.25, 2, 256, 40), Report("c", 7.0, 110, 512, 99, 102.5, "forked")):
        assert report_in(f"print\n{line(report)}") == report


def test_the_last_report_counts_and_what_is_cut_off_is_none():
    assert report_in(AWS + line(Report("later", 1.0, 1, 128, 30))).request == "later"
    assert report_in("") is None and report_in("REPORT RequestId: x\tDuration: 1 ms") is None
    assert report_in("REPORT RequestId: x\tDuration: soon") is None


def test_a_started_millisecond_is_billed_and_the_start_with_it():
    assert [billed_ms(*each) for each in ((3.0, None), (3.001, None), (0.4, 99.9), (0, None))] == [
        3,
        4,
        101,
        1,
    ]
