"""The OpenAPI 3.1 document of this server: the paths that there are, what each ready model takes and gives.

A schema cannot say that the data of a tensor must be as long as its shape says; so `infer` may answer 400 to
a body that fits its schema. `:predict` takes any body that fits.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import numpy as np

from tradewind import __version__
from tradewind.serving.calls import Engine, ModelMetadata, Refusal
from tradewind.serving.server.http.routes import Routes
from tradewind.serving.tensors import DTYPES, TensorSpec

Schema = dict[str, Any]

_DATATYPES = {"type": "string", "enum": list(DTYPES)}
_PARAMETERS: Schema = {"type": "object"}
_ERROR: Schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_CONTAINER_ERROR: Schema = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
}
_RUNTIME_ERROR: Schema = {
    "type": "object",
    "required": ["__type", "Message"],
    "properties": {
        "__type": {"type": "string"},
        "Message": {"type": "string"},
        "OriginalStatusCode": {"type": "integer"},
        "OriginalMessage": {"type": "string"},
    },
}
_ANY_OBJECT: Schema = {"type": "object"}
_READY: Schema = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
_PERHAPS = {"type": ["number", "null"]}
_VARIANTS: Schema = {
    "type": "object",
    "required": ["variants", "classes", "plan", "limits", "dollars_per_hour"],
    "properties": {
        "variants": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "task", "accuracy", "latency_ms", "state", "replicas", "wanted"],
                "properties": {
                    **{name: {"type": "string"} for name in ("name", "task", "resource", "state", "told")},
                    **{name: {"type": "integer"} for name in ("replicas", "wanted", "waiting", "memory")},
                    **{
                        name: _PERHAPS
                        for name in ("latency_ms", "rows_per_second", "slowdown", "starting_in")
                    },
                    "accuracy": {"type": "number", "minimum": 0, "maximum": 1},
                },
            },
        },
        "classes": {"type": "array", "items": {"type": "object"}},
        "plan": {"type": "object", "required": ["replicas", "reason"]},
        "limits": {"type": "object", "required": ["replicas", "memory"]},
        "dollars_per_hour": _PERHAPS,
    },
}
_ENDPOINTS: Schema = {
    "type": "object",
    "required": ["endpoints"],
    "properties": {"endpoints": {"type": "array", "items": {"type": "object"}}},
}
_NO_NUMBERS = {"enum": ["NaN", "Infinity", "-Infinity", None]}

_GENERAL: tuple[tuple[str, str, str, Schema], ...] = (
    ("GET", "/v2", "What this server is", _ANY_OBJECT),
    ("GET", "/v2/health/live", "Whether it runs", _ANY_OBJECT),
    ("GET", "/v2/health/ready", "Whether every model can answer", _READY),
    ("GET", "/v2/models/stats", "What all models have done", _ANY_OBJECT),
    ("POST", "/v2/repository/index", "The models of the repository", {"type": "array", "items": _ANY_OBJECT}),
    ("POST", "/v2/repository/models/{model}/load", "Load a model, or load it anew", _ANY_OBJECT),
    ("POST", "/v2/repository/models/{model}/unload", "Stop answering for a model", _ANY_OBJECT),
    (
        "GET",
        "/v2/variants",
        "The variants of each task: how they stand, what is asked of them, the plan",
        _VARIANTS,
    ),
    ("GET", "/endpoints", "Every endpoint: its variants, its update under way, its alarms", _ENDPOINTS),
    ("GET", "/v1/models", "The models that are ready", _ANY_OBJECT),
    ("GET", "/models", "The models that are loaded, for SageMaker", _ANY_OBJECT),
    ("GET", "/models/{model}", "Whether a model is loaded, for SageMaker", _ANY_OBJECT),
)
"""Method, template, summary, schema of the answer."""


def document(engine: Engine, routes: Routes, *, secured: bool = False) -> Schema:
    """The document, as a value for JSON: of the `routes` that there are and the models that are ready.

    `secured` says that callers need a token.
    """
    there = {(route.method, route.template) for route in routes.all}
    paths: dict[str, dict[str, Schema]] = {}
    for method, template, summary, schema in _GENERAL:
        if (method, template) in there:
            error = (
                _CONTAINER_ERROR
                if template.startswith("/models")
                else _RUNTIME_ERROR
                if template.startswith("/endpoints")
                else _ERROR
            )
            operation = _operation(summary, _json(schema), error, tag="server")
            if "{model}" in template:
                named = {
                    "name": "model",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1},
                }
                operation["parameters"] = [named]
            if method == "POST":
                operation["requestBody"] = {"required": False, "content": _json(_body_of(template))}
            paths.setdefault(template, {})[method.lower()] = operation
    if ("GET", "/ping") in there:
        states = {"200": {"description": "It can"}, "503": {"description": "It cannot, yet or any more"}}
        ping = {"summary": "Whether it can answer", "tags": ["server"], "responses": states}
        paths["/ping"] = {"get": ping}
    if ("GET", "/version") in there:
        answer = {"text/plain": {"schema": {"type": "string"}}}
        paths["/version"] = {
            "get": _operation("The version of this server", answer, _CONTAINER_ERROR, "server")
        }
    for model in models_of(engine):
        for (method, template), (path, operation) in _of_model(model).items():
            if (method, template) in there:
                paths.setdefault(path, {})[method.lower()] = operation
    said: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tradewind",
            "version": __version__,
            "description": "Models over the Open Inference Protocol, KServe's v1, and SageMaker's API.",
        },
        "paths": paths,
    }
    if secured:
        said["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        said["security"] = [{"token": []}]
    return said


def models_of(engine: Engine) -> list[ModelMetadata]:
    """What is told of each model that is ready, by name."""
    found: list[ModelMetadata] = []
    for name in sorted({model.name for model in engine.index() if model.state == "READY"}):
        try:
            found.append(engine.metadata(name))
        except Refusal:  # it went meanwhile, or is being loaded
            continue
    return found


def _of_model(model: ModelMetadata) -> dict[tuple[str, str], tuple[str, Schema]]:
    """By the route's method and template: the path with the model's own name in it, and the operation."""
    name = quote(model.name, safe="")
    tag = f"model {model.name}"
    base = f"/v2/models/{name}"
    operations = {
        ("GET", "/v2/models/{model}"): (
            base,
            _operation("What it takes and gives", _json(_ANY_OBJECT), _ERROR, tag),
        ),
        ("GET", "/v2/models/{model}/ready"): (
            f"{base}/ready",
            _operation("Whether it can answer", _json(_READY), _ERROR, tag),
        ),
        ("GET", "/v2/models/{model}/config"): (
            f"{base}/config",
            _operation("Its configuration, as Triton tells it", _json(_ANY_OBJECT), _ERROR, tag),
        ),
        ("GET", "/v2/models/{model}/stats"): (
            f"{base}/stats",
            _operation("What it has done", _json(_ANY_OBJECT), _ERROR, tag),
        ),
        ("POST", "/v2/models/{model}/infer"): (f"{base}/infer", _infer(model, tag)),
    }
    rows = _instances(model)
    if rows is not None:
        predict = _operation(
            "Predictions for rows",
            _json(_object({"predictions": {"type": "array"}}, ["predictions"])),
            _ERROR,
            tag,
        )
        body = _object({"instances": rows}, ["instances"])
        predict["requestBody"] = {"required": True, "content": _json(body, {"instances": [_row(model)]})}
        operations["POST", "/v1/models/{model}"] = (f"/v1/models/{name}:predict", predict)
        invoke = _operation("Predictions for rows, as SageMaker's runtime", _json({}), _RUNTIME_ERROR, tag)
        csv = {"schema": {"type": "string"}, "example": _csv(_row(model))}
        content = {**_json(body, {"instances": [_row(model)]}), "text/csv": csv}
        invoke["requestBody"] = {"required": True, "content": content}
        operations["POST", "/endpoints/{endpoint}/invocations"] = (f"/endpoints/{name}/invocations", invoke)
    return operations


def _infer(model: ModelMetadata, tag: str) -> Schema:
    inputs, outputs = model.signature.inputs, model.signature.outputs
    tensor = (
        {"oneOf": [_tensor(spec) for spec in inputs]}
        if len(inputs) > 1
        else _tensor(inputs[0])
        if inputs
        else {}
    )
    wanted = _object(
        {"name": {"enum": [spec.name for spec in outputs]}, "parameters": _output_parameters()}, ["name"]
    )
    body = _object(
        {
            "id": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {
                    "timeout": {"type": "integer", "minimum": 0, "description": "microseconds"},
                    "binary_data_output": {"type": "boolean"},
                    "priority": {"type": "integer", "minimum": 0},
                },
            },
            "inputs": {"type": "array", "items": tensor, "minItems": len(inputs), "maxItems": len(inputs)},
            "outputs": {"type": "array", "items": wanted},
        },
        ["inputs"],
    )
    example = {"inputs": [_example(spec) for spec in inputs]}
    given = _object(
        {
            "name": {"type": "string"},
            "datatype": _DATATYPES,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "data": {"type": "array"},
            "parameters": _PARAMETERS,
        },
        ["name", "datatype", "shape"],
    )
    answer = _object(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": given},
        },
        ["model_name", "outputs"],
    )
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    operation = _operation("Outputs for inputs", {**_json(answer), **binary}, _ERROR, tag)
    operation["requestBody"] = {"required": True, "content": _json(body, example)}
    return operation


def _operation(summary: str, answer: Schema, error: Schema, tag: str) -> Schema:
    return {
        "summary": summary,
        "tags": [tag],
        "responses": {
            "200": {"description": "Done", "content": answer},
            "default": {
                "description": "Why it was not done",
                "content": {"application/json": {"schema": error}},
            },
        },
    }


def _json(schema: Schema, example: Any = None) -> Schema:
    said = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {"application/json": said}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _body_of(template: str) -> Schema:
    if template.endswith("/index"):
        return _object({"ready": {"type": "boolean"}}, [])
    config = {"config": {"type": "string", "description": "JSON"}} if template.endswith("/load") else {}
    parameters: Schema = {"type": "object", "properties": config}
    if template.endswith("/load"):
        parameters["additionalProperties"] = False
    return _object({"parameters": parameters}, [])


def _output_parameters() -> Schema:
    return {
        "type": "object",
        "properties": {
            "binary_data": {"type": "boolean"},
            "classification": {"type": "integer", "minimum": 1},
        },
    }


def _value(datatype: str) -> Schema:
    """The schema of one element."""
    dtype = DTYPES[datatype]
    if dtype.kind == "b":
        return {"type": "boolean"}
    if dtype.kind == "O":
        return {"type": "string"}
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}
    most = float(np.finfo(dtype).max)
    return {"anyOf": [{"type": "number", "minimum": -most, "maximum": most}, _NO_NUMBERS]}


def _tensor(spec: TensorSpec) -> Schema:
    axes = [{"const": length} if length >= 0 else {"type": "integer", "minimum": 0} for length in spec.shape]
    shape: Schema = {"type": "array", "minItems": len(axes), "maxItems": len(axes)}
    if axes:
        shape["prefixItems"] = axes
    data = {
        "type": "array",
        "description": "row-major: as many values as the shape takes, flat or nested as it",
    }
    return _object(
        {"name": {"const": spec.name}, "datatype": {"const": spec.datatype}, "shape": shape, "data": data},
        ["name", "datatype", "shape", "data"],
    )


def _nested(spec: TensorSpec, axes: tuple[int, ...]) -> Schema:
    schema = _value(spec.datatype)
    for length in reversed(axes):
        schema = {"type": "array", "items": schema}
        if length >= 0:
            schema |= {"minItems": length, "maxItems": length}
    return schema


def _instances(model: ModelMetadata) -> Schema | None:
    """The schema of a list of rows; None for a model that takes none, or whose rows may differ in length."""
    inputs = model.signature.inputs
    if not model.signature.batched or any(-1 in spec.shape[1:] or not spec.shape for spec in inputs):
        return None
    if len(inputs) == 1:
        row = _nested(inputs[0], inputs[0].shape[1:])
    else:
        row = _object(
            {spec.name: _nested(spec, spec.shape[1:]) for spec in inputs}, [spec.name for spec in inputs]
        )
        row["additionalProperties"] = False
    return {"type": "array", "items": row, "minItems": 1}


def _zeros(spec: TensorSpec, axes: tuple[int, ...]) -> Any:
    kind = DTYPES[spec.datatype].kind
    value: Any = {"b": False, "O": "", "f": 0.0}.get(kind, 0)
    for length in reversed(axes):
        value = [value] * (length if length >= 0 else 1)
    return value


def _row(model: ModelMetadata) -> Any:
    inputs = model.signature.inputs
    if len(inputs) == 1:
        return _zeros(inputs[0], inputs[0].shape[1:])
    return {spec.name: _zeros(spec, spec.shape[1:]) for spec in inputs}


def _csv(row: Any) -> str:
    values = list(row.values()) if isinstance(row, dict) else [row]
    while any(isinstance(value, list) for value in values):
        values = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return ",".join(str(value) for value in values) + "\n"


def _example(spec: TensorSpec) -> Schema:
    shape = tuple(length if length >= 0 else 1 for length in spec.shape)
    return {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": _zeros(spec, shape)}
