"""AWS's event stream encoding, read back by botocore's own parser."""

from botocore.eventstream import EventStreamBuffer

from tradewind.serving.server.http import aws_event_stream


def test_botocore_reads_what_is_written():
    buffer = EventStreamBuffer()
    payload = bytes(range(256)) * 9
    buffer.add_data(aws_event_stream.event("PayloadPart", payload, "text/csv"))
    buffer.add_data(aws_event_stream.message(b"", {"name": "välue"}))
    first, second = list(buffer)
    assert first.payload == payload
    assert first.headers == {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "text/csv",
    }
    assert second.payload == b"" and second.headers == {"name": "välue"}


def test_a_known_message():
    # The example of an empty message in AWS's own test vectors.
    expected = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff".replace(" ", ""))
    assert aws_event_stream.message(b"", {}) == expected
