"""Which handler answers a path."""

import msgspec
import pytest

from tradewind.errors import Misuse
from tradewind.serving.calls import Refusal, RefusalKind
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.http.routes import Routes, Unanswerable, split_target


async def handler(request: Request) -> Response:
    return Response(200)


def routes(*templates: str) -> Routes:
    found = Routes()
    for template in templates:
        method, _, path = template.rpartition(" ")
        found.add(method or "GET", path, handler)
    return found


V2 = (
    "/v2",
    "/v2/models/stats",
    "/v2/models/{model}",
    "/v2/models/{model}/versions/{version}",
    "POST /v2/models/{model}/infer",
    "POST /v2/models/{model}/versions/{version}/infer",
    "/v2/models/{model}/stats",
)


@pytest.mark.parametrize(
    ("method", "target", "template", "variables"),
    [
        ("GET", "/v2", "/v2", {}),
        ("GET", "/v2/", "/v2", {}),
        ("GET", "/v2/models/stats", "/v2/models/stats", {}),
        ("GET", "/v2/models/stats/stats", "/v2/models/{model}/stats", {"model": "stats"}),
        ("GET", "/v2/models/a", "/v2/models/{model}", {"model": "a"}),
        ("GET", "/v2/models/team%2Fa", "/v2/models/{model}", {"model": "team/a"}),
        ("GET", "/v2/models/%e2%82%ac%20b?x=1", "/v2/models/{model}", {"model": "€ b"}),
        ("GET", "/v2/mod%65ls/a", "/v2/models/{model}", {"model": "a"}),
        ("GET", "http://host:80/v2/models/a", "/v2/models/{model}", {"model": "a"}),
        (
            "POST",
            "/v2/models/m/versions/3/infer?a=b#c",
            "/v2/models/{model}/versions/{version}/infer",
            {"model": "m", "version": "3"},
        ),
    ],
)
def test_a_path_finds_its_template(method, target, template, variables):
    match = routes(*V2).find(method, target)
    assert (match.route.template, match.variables) == (template, variables)


def test_path_is_decoded_and_query_is_not():
    match = routes(*V2).find("GET", "/v2/models/a%2Fb?q=%20&r")
    assert (match.path, match.query) == ("/v2/models/a/b", "q=%20&r")


@pytest.mark.parametrize(
    "target",
    ["/", "/v3", "/v2/models", "/v2/models//infer", "/v2/models/a/b/infer", "/v2/models/a/infer/x", "/" * 99],
)
def test_nothing_at_a_path(target):
    with pytest.raises(Unanswerable) as refused:
        routes(*V2).find("POST", target)
    assert refused.value.status == 404


def test_a_method_not_allowed_names_those_that_are():
    with pytest.raises(Unanswerable) as refused:
        routes("/a", "POST /a").find("PUT", "/a")
    assert refused.value.status == 405
    assert refused.value.headers == (("Allow", "GET, HEAD, POST"),)


def test_head_comes_with_get_unless_it_is_added():
    assert routes("/a").find("HEAD", "/a").route.method == "GET"
    assert routes("/a", "HEAD /a").find("HEAD", "/a").route.method == "HEAD"


def test_a_method_on_a_variable_is_found_behind_a_literal():
    found = routes("/m/stats", "POST /m/{model}")
    assert found.find("POST", "/m/stats").variables == {"model": "stats"}


def test_root():
    assert routes("/").find("GET", "/").route.template == "/"
    assert routes("/").find("GET", "http://host").route.template == "/"


@pytest.mark.parametrize("target", ["*", "host:80", "ftp://a/b", "/%ff", ""])
def test_what_is_no_path(target):
    with pytest.raises(Unanswerable) as refused:
        routes("/{a}").find("GET", target)
    assert refused.value.status == 400


def test_a_route_added_later_is_found_although_its_path_was_asked_for():
    found = routes("/{a}")
    assert found.find("GET", "/x").variables == {"a": "x"}
    found.add("GET", "/x", handler)
    assert found.find("GET", "/x").variables == {}


def test_many_paths_do_not_pile_up():
    found = routes("/{a}")
    for number in range(3000):
        assert found.find("GET", f"/{number}").variables == {"a": str(number)}
    assert len(found._found) <= 1024


@pytest.mark.parametrize("template", ["a", "/{a}/{a}", "/x{a}", "/a//b", "/{}", "/taken"])
def test_templates_refused(template):
    with pytest.raises(Misuse):
        routes("/taken").add("GET", template, handler)


def test_two_names_for_one_variable_are_told_apart_by_the_route():
    found = routes("/m/{model}", "/m/{name}/x")
    assert found.find("GET", "/m/a").variables == {"model": "a"}
    assert found.find("GET", "/m/a/x").variables == {"name": "a"}


def test_errors_by_the_longest_prefix_at_a_slash():
    found = Routes()
    found.errors("/v2", lambda status, message, request: Response(status, b"v2"))
    found.errors("/v2/deep/", lambda status, message, request: Response(status, b"deep"))

    def told(path: str) -> bytes:
        return found.error(400, "no", Request("GET", path, "", {}, b"", 0.0)).body

    assert [told(path) for path in ("/v2", "/v2/x", "/v2/deep", "/v2/deep/x")] == [
        b"v2",
        b"v2",
        b"deep",
        b"deep",
    ]
    assert msgspec.json.decode(told("/v2x")) == {"error": "no"}


def test_a_refusal_says_when_to_come_again():
    request = Request("GET", "/", "", {}, b"", 0.0)
    response = Routes().refused(Refusal(RefusalKind.OVERLOADED, "full", retry_after=0.2), request)
    assert (response.status, response.headers) == (429, (("Retry-After", "1"),))
    assert msgspec.json.decode(response.body) == {"error": "full"}


def test_split_target():
    assert split_target("HTTP://h/a/b?c=d") == ("/a/b", "c=d")
    assert split_target("/a") == ("/a", "")
