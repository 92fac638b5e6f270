"""Models loaded by their folders on a real engine: what may be, memory that is full, and going again."""

from __future__ import annotations

import json

import pytest
from endpoint_stage import times

from tradewind import clock
from tradewind.errors import Misuse
from tradewind.serving.calls import Refusal
from tradewind.serving.models.repository import Repository
from tradewind.serving.server.admission import Admission
from tradewind.serving.server.deployments import Deployments
from tradewind.serving.server.engine import ModelEngine, Options
from tradewind.serving.server.http import sagemaker_container
from tradewind.serving.server.http.messages import Request
from tradewind.serving.server.http.routes import Routes


async def asked(routes, method, path, body=b""):
    request = Request(method, path, "", {}, body, clock.now())
    match = routes.find(method, path)
    request.variables = match.variables
    try:
        response = await match.route.handler(request)
    except Refusal as refusal:
        response = routes.refused(refusal, request)
    return response.status, json.loads(response.body or b"{}")


def test_models_come_and_go_by_their_folders(tmp_path):
    root = tmp_path / "models"
    for at in range(3):
        times(root / f"{at}" / "model" / "model.onnx", at + 2.0)
    times(tmp_path / "other" / "model.onnx", 9.0)
    (root / "out").symlink_to(tmp_path / "other")
    (root / "empty").mkdir()

    async def main():
        library = Deployments(Repository(times(tmp_path / "own.onnx", 1.0)))
        engine = ModelEngine(library, Options())
        routes = Routes()
        sagemaker_container.add_routes(routes, engine, Admission(library, root))
        await engine.open()

        async def load(name, url):
            return await asked(
                routes, "POST", "/models", json.dumps({"model_name": name, "url": str(url)}).encode()
            )

        for name, url, why in (
            ("a", tmp_path / "other", "from below"),
            ("a", root / ".." / "other", "from below"),
            ("a", root / "out", "from below"),
            ("a", root, "from below"),
            ("a", root / "nowhere", "nothing at"),
            ("a", "s3://bucket/model", "nothing at"),
            ("a", "x\0y", "nothing at"),
            ("a", root / "empty", "url"),
            ("own", root / "0" / "model", "of its own"),
            ("../a", root / "0" / "model", "no name"),
        ):
            status, said = await load(name, url)
            assert status in (400, 409) and (why in said["message"] or name == "own"), (url, said)
        assert library.names() == ("own",)
        for at in range(2):
            assert await load(f"hash{at}", root / f"{at}" / "model") == (200, {})
        assert (await load("hash0", root / "0" / "model"))[0] == 409
        status, said = await asked(routes, "POST", "/models/hash1/invoke", b"[[1.0, 2.0]]")
        assert status == 200 and said == [[3.0, 6.0]]
        status, said = await asked(routes, "GET", "/models")
        assert [each["modelName"] for each in said["models"]] == ["hash0", "hash1", "own"]
        assert (await asked(routes, "DELETE", "/models/hash0"))[0] == 200
        assert (await asked(routes, "GET", "/models/hash0"))[0] == 404
        assert (await asked(routes, "POST", "/models/hash0/invoke", b"[[1.0, 2.0]]"))[0] in (404, 503)
        assert await load("hash0", root / "2" / "model") == (200, {})  # another model under the name
        assert (await asked(routes, "POST", "/models/hash0/invoke", b"[[1.0, 2.0]]"))[1] == [[4.0, 8.0]]
        await engine.close()

    clock.serve(main())


def test_a_model_that_never_fits_is_507_and_forgotten(tmp_path):
    root = tmp_path / "models"
    times(root / "large" / "model.onnx", 2.0)

    async def main():
        library = Deployments()
        engine = ModelEngine(library, Options(memory=50))
        routes = Routes()
        sagemaker_container.add_routes(routes, engine, Admission(library, root))
        await engine.open(())
        body = json.dumps({"model_name": "large", "url": str(root / "large")}).encode()
        status, said = await asked(routes, "POST", "/models", body)
        assert status == 507 and said["error_code"] == "INSUFFICIENT_STORAGE"
        assert library.names() == ()
        await engine.close()

    clock.serve(main())


def test_the_folder_must_be_there(tmp_path):
    with pytest.raises(Misuse, match="no folder"):
        Admission(Deployments(), tmp_path / "nowhere")
