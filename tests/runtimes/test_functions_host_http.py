"""HTTP as API clients speak it, over real sockets."""

import asyncio

from tradewind import clock
from tradewind.runtimes.functions.host.http import Response, listen


def spoken(*pieces):
    """What comes back for bytes that are sent piece by piece, and the requests that were understood."""
    met = []

    async def answer(request):
        met.append(request)
        return (
            Response(204)
            if request.method == "DELETE"
            else Response(200, request.body or b"none", {"X-A": "b"})
        )

    async def main():
        server = await listen("127.0.0.1", 0, answer, 10)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)
        writer.write_eof()
        came = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        server.close()
        return came

    return clock.run(main()), met


def test_requests_come_whole_however_they_are_cut_and_one_after_another():
    text = b"POST /a%2Fb?q=1&e= HTTP/1.1\r\nX-Name:  v \r\nContent-Length: 4\r\n\r\nbody"
    text += b"DELETE /c HTTP/1.1\r\n\r\n"
    for pieces in ([text], [text[:9], text[9:60], text[60:]]):
        came, met = spoken(*pieces)
        assert [(each.method, each.path) for each in met] == [("POST", "/a%2Fb"), ("DELETE", "/c")]
        assert met[0].query == {"q": "1", "e": ""} and met[0].headers["x-name"] == "v"
        assert met[0].body == b"body"
        first, _, rest = came.partition(b"body")
        assert first.startswith(b"HTTP/1.1 200 OK\r\n") and b"X-A: b\r\n" in first
        assert rest == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_body_is_asked_for_where_the_client_waits_to_be():
    came, met = spoken(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", b"ab")
    assert came.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200") and met[0].body == b"ab"


def test_what_cannot_be_meant_ends_the_connection():
    for sent, status in (
        (b"GET / HTTP/1.1\r\nContent-Length: 11\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nName : v\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
    ):
        came, met = spoken(sent + b"GET / HTTP/1.1\r\n\r\n")
        assert came.split(b" ")[1] == status and came.count(b"HTTP/1.1") == 1 and not met
        assert b"Connection: close" in came
    assert spoken(b"GET / HT")[0] == b""
