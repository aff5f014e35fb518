"""An OpenAPI 3.1 document from a table of operations and marshmallow schemas; both planes describe themselves with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from stagedoor import __version__, names
from stagedoor.problems import MEDIA_TYPE

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `statuses` are those of its problems; 401 and 403 come with a needed token.

    `answer` is a schema or a media type; `predicts` says that the answer's headers name the version it came from.
    """

    method: str
    path: str
    tag: str
    summary: str
    answer: type[Schema] | str
    body: type[Schema] | None = None
    needs_token: bool = True
    statuses: tuple[int, ...] = ()
    status: int = 200
    query: tuple[tuple[str, str], ...] = ()
    headers_in: tuple[tuple[str, str], ...] = ()
    media_in: tuple[str, ...] = ("application/json",)
    predicts: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """All of one application. `tags` and `parameters` map names to their descriptions, `examples` schema names to JSON."""

    title: str
    description: str
    tags: Texts
    parameters: Texts
    operations: Sequence[Operation]
    problem: type[Schema]
    examples: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def document(self) -> dict[str, Any]:
        """The OpenAPI document as JSON."""
        spec = APISpec(
            title=self.title,
            version=__version__,
            openapi_version="3.1.0",
            info={"description": self.description},
            tags=[{"name": name, "description": text} for name, text in self.tags.items()],
            plugins=[MarshmallowPlugin(schema_name_resolver=_schema_name)],
        )
        spec.components.security_scheme("token", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
        spec.components.response(
            "Problem",
            {
                "description": "A problem; `code` says which, and `/problems/<code>` what to do.",
                "content": {MEDIA_TYPE: self._content(self.problem)},
            },
        )
        for path in dict.fromkeys(operation.path for operation in self.operations):
            operations = {one.method: self._operation(one) for one in self.operations if one.path == path}
            spec.path(path=path, parameters=self._path_parameters(path), operations=operations)
        found: dict[str, Any] = spec.to_dict()
        return found

    def _path_parameters(self, path: str) -> list[dict[str, Any]]:
        return [
            {"in": "path", "name": name, "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in self.parameters.items()
            if f"{{{name}}}" in path
        ]

    def _operation(self, one: Operation) -> dict[str, Any]:
        refused = (401, 403) if one.needs_token else ()
        problems = {str(status): "Problem" for status in sorted({*refused, *one.statuses})}
        described: dict[str, Any] = {
            "tags": [one.tag],
            "summary": one.summary,
            "operationId": _operation_id(one),
            "responses": {str(one.status): self._answer(one)} | problems,
        }
        if one.needs_token:
            described["security"] = [{"token": []}]
        if one.body is not None:
            content = {media: self._media_in(one.body, media) for media in one.media_in}
            described["requestBody"] = {"required": True, "content": content}
        parameters = [("query", *pair) for pair in one.query] + [("header", *pair) for pair in one.headers_in]
        if parameters:
            described["parameters"] = [
                {"in": where, "name": name, "description": text, "schema": {"type": "string"}}
                for where, name, text in parameters
            ]
        return described

    def _media_in(self, body: type[Schema], media: str) -> dict[str, Any]:
        return self._content(body) if media == "application/json" else {"schema": {"type": "string"}}

    def _answer(self, one: Operation) -> dict[str, Any]:
        answer: dict[str, Any] = {"description": one.summary}
        if isinstance(one.answer, str):
            answer["content"] = {one.answer: {"schema": {"type": "object" if "json" in one.answer else "string"}}}
        else:
            answer["content"] = {"application/json": self._content(one.answer)}
        shown = [names.HEADER_REQUEST_ID]
        if one.predicts:
            shown += [names.HEADER_MODEL_NAME, names.HEADER_MODEL_VERSION, names.HEADER_MODEL_ARM, names.HEADER_ROUTE_EPOCH]
        answer["headers"] = {name: {"schema": {"type": "string"}} for name in shown}
        return answer

    def _content(self, schema: type[Schema]) -> dict[str, Any]:
        example = {"example": self.examples[schema.__name__]} if schema.__name__ in self.examples else {}
        return {"schema": schema} | example


def _schema_name(schema: Any) -> str:  # noqa: ANN401  a class, an instance or a name
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__


def _operation_id(one: Operation) -> str:
    words = one.path.replace("{", "").replace("}", "").replace(".", "/").replace("-", "_").strip("/").split("/")
    return "_".join([one.method, *(word for word in words if word)])
