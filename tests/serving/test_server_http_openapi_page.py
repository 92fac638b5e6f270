"""The page that shows the OpenAPI document."""

import re

from served_wires import ask, routes_of
from small_engine import SmallEngine


def test_the_page_loads_nothing_from_elsewhere():
    response = ask(routes_of(SmallEngine(only=("linear",))), "GET", "/docs")
    page = response.body.decode()
    assert response.status == 200 and response.type == "text/html; charset=utf-8"
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert not re.search(r"https?://|//cdn|@import", page)
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:,", "openapi.json"]
    policy = dict(response.headers)["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy


def test_texts_of_the_server_are_never_taken_for_html():
    page = ask(routes_of(SmallEngine(only=("linear",))), "GET", "/docs").body.decode()
    assert "textContent" in page
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", page)
