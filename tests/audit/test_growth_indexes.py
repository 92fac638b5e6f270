"""Where releases are read from: folders, saved pages, and indexes over HTTP."""

import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tradewind.audit.growth.indexes import distributions_at
from tradewind.errors import Misuse, Unreachable

PAGE = {"files": [{"filename": "a-1.tar.gz", "size": 7}]}


@pytest.fixture
def index():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers["Accept"]
            self.send_response(200 if self.path in ("/simple/a/", "/html/a/") else 404)
            self.send_header("Content-Type", wanted if self.path.startswith("/simple") else "text/html")
            self.end_headers()
            self.wfile.write(json.dumps(PAGE).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_index_is_asked(index):
    (found,) = distributions_at(f"{index}/simple", "a")
    assert (found.file, found.size) == ("a-1.tar.gz", 7)
    with pytest.raises(Misuse, match="404"):
        distributions_at(f"{index}/simple", "b")
    with pytest.raises(Misuse, match="text/html"):
        distributions_at(f"{index}/html", "a")


def test_an_index_that_does_not_answer_is_told():
    with pytest.raises(Unreachable):
        distributions_at("http://127.0.0.1:1/simple", "a", timeout=2)


def test_a_saved_page_is_read(tmp_path):
    page = tmp_path / "page.json"
    page.write_text(json.dumps(PAGE))
    assert distributions_at(str(page), "a")[0].size == 7
    page.write_text("{")
    with pytest.raises(Misuse, match="cannot be read"):
        distributions_at(str(page), "a")
    with pytest.raises(Misuse, match="cannot be read"):
        distributions_at(str(tmp_path / "none.json"), "a")


def test_a_folder_of_wheels_is_measured(tmp_path):
    with zipfile.ZipFile(tmp_path / "a-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("a.py", "x" * 1000)
    (tmp_path / "a-0.tar.gz").write_bytes(b"123")
    sdist, wheel = distributions_at(str(tmp_path), "a")
    assert (sdist.size, sdist.unpacked, wheel.unpacked) == (3, None, 1000) and wheel.size < 1000
    (tmp_path / "b.whl").write_bytes(b"no zip")
    with pytest.raises(Misuse, match="no wheel"):
        distributions_at(str(tmp_path), "a")


@pytest.mark.parametrize(
    "content", ["[]", "[" * 100_000, '{"files": 3}', "\xff"], ids=["list", "deep", "number", "bytes"]
)
def test_a_page_of_another_form_is_refused(tmp_path, content):
    page = tmp_path / "page.json"
    page.write_text(content, "latin-1")
    with pytest.raises(Misuse):
        distributions_at(str(page), "a")
