"""The table of rights on the MLflow server: what a method and path are, and which role they take. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

from stagedoor import names

SIGN_IN: Final = "/stagedoor/sign-in"
SIGN_OUT: Final = "/stagedoor/sign-out"


@dataclass(frozen=True, slots=True)
class Access:
    """What a request is about. `action` completes "This token may not ..."; `role` is None where no token is needed.

    `reads`: changes nothing, whatever its method. `on_registry`: goes to the log with its author. `moves_traffic`: may
    change what is served, so gateways hear of it.
    """

    action: str
    role: str | None
    reads: bool = False
    on_registry: bool = False
    moves_traffic: bool = False


OPEN: Final = Access("ask for health", None, reads=True)
READ: Final = Access("read from MLflow", names.ROLE_VIEWER, reads=True)
WRITE: Final = Access("write to MLflow", names.ROLE_PROMOTER)
PROXY: Final = Access("use MLflow's model proxy", names.ROLE_PROMOTER)
ASSISTANT: Final = Access("use MLflow's assistant, which runs commands on the server", names.ROLE_ADMIN)
MUTATION: Final = Access("change anything through GraphQL", names.ROLE_ADMIN)
FINDING: Final = Access("write a tag that only the controller writes", names.ROLE_ADMIN)
WEBHOOK: Final = Access("manage webhooks", names.ROLE_PROMOTER, on_registry=True)


def _change(action: str) -> Access:
    return Access(action, names.ROLE_PROMOTER, on_registry=True, moves_traffic=True)


OTHER_CHANGE: Final = Access("change the registry", names.ROLE_PROMOTER, on_registry=True)

OPEN_PATHS: Final = frozenset({"/health", "/version"})

POSTS_THAT_READ: Final = frozenset(
    {
        "artifacts/presigned-download-url",
        "datasets/search",
        "experiments/search",
        "experiments/search-datasets",
        "issues/search",
        "logged-models/search",
        "prompt-optimization/jobs/search",
        "registered-models/get-latest-versions",
        "runs/search",
        "traces/batchGetInfos",
        "traces/calculate-filter-correlation",
        "traces/metrics",
        "traces/search",
    }
)

POST_PATHS_THAT_READ: Final = frozenset({"/ajax-api/3.0/jobs/search"})

REGISTRY_WRITES: Final[Mapping[tuple[str, str], Access]] = MappingProxyType(
    {
        ("POST", "registered-models/alias"): _change("move an alias"),
        ("DELETE", "registered-models/alias"): _change("remove an alias"),
        ("POST", "registered-models/set-tag"): _change("tag a model"),
        ("DELETE", "registered-models/delete-tag"): _change("remove a model's tag"),
        ("POST", "registered-models/create"): _change("register a model"),
        ("POST", "registered-models/rename"): _change("rename a model"),
        ("PATCH", "registered-models/update"): _change("change a model"),
        ("DELETE", "registered-models/delete"): _change("delete a model"),
        ("POST", "model-versions/create"): _change("register a version"),
        ("POST", "model-versions/transition-stage"): _change("move a version to a stage"),
        ("POST", "model-versions/set-tag"): _change("tag a version"),
        ("DELETE", "model-versions/delete-tag"): _change("remove a version's tag"),
        ("PATCH", "model-versions/update"): _change("change a version"),
        ("DELETE", "model-versions/delete"): _change("delete a version"),
    }
)

_API: Final = re.compile(r"/(?:ajax-)?api/[0-9.]+/(?:preview/)?mlflow/(?P<tail>.+?)/*", re.DOTALL)
_SPECIAL: Final = MappingProxyType({"assistant": ASSISTANT, "gateway-proxy": PROXY})
_OTHER_WRITES: Final = MappingProxyType(
    {"registered-models": OTHER_CHANGE, "model-versions": OTHER_CHANGE, "webhooks": WEBHOOK}
)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def access_for(method: str, path: str) -> Access:
    """What `method` on `path` (percent-decoded, without a static prefix) needs. What is not known needs a promoter."""
    if method in _SAFE and path in OPEN_PATHS:
        return OPEN
    tail = tail_of(path)
    first = tail.split("/")[0]
    if first in _SPECIAL:
        return _SPECIAL[first]
    if is_graphql(path):
        return MUTATION
    if method in _SAFE or (method == "POST" and (tail in POSTS_THAT_READ or path in POST_PATHS_THAT_READ)):
        return READ
    return REGISTRY_WRITES.get((method, tail)) or _OTHER_WRITES.get(first, WRITE)


def tail_of(path: str) -> str:
    """The part of a path of MLflow's REST API that says what is asked, such as `registered-models/alias`; "" elsewhere."""
    matched = _API.fullmatch(path)
    return matched["tail"] if matched else ""


def is_graphql(path: str) -> bool:
    """Whether the body decides what this is. Exactly one path: any other that ends so could be a file's name."""
    return path == "/graphql"


def graphql_access(body: bytes) -> Access:
    """READ if every operation of the document is a query, else MUTATION: none is needed, and none shall get past the table."""
    try:
        document = parse(json.loads(body)["query"])
    except (ValueError, TypeError, KeyError, RecursionError, GraphQLError):
        return MUTATION
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return READ if operations and all(node.operation is OperationType.QUERY for node in operations) else MUTATION


_LOGGED: Final = ("name", "alias", "version", "stage", "archive_existing_versions", "new_name", "key", "webhook_id")
_MAX_LOGGED: Final = 256


def registry_target(fields: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    """What a registry write is aimed at, for the log: names only, and the value of a `stagedoor.` tag. Never raises."""
    merged = {**query, **fields}
    ours = str(merged.get("key", "")).startswith(names.TAG_PREFIX)
    shown = (*_LOGGED, "value") if ours else _LOGGED
    return {field: _short(merged[field]) for field in shown if field in merged}


def _short(value: object) -> Any:  # noqa: ANN401  a JSON value as it came
    return value if isinstance(value, bool | int) else str(value)[:_MAX_LOGGED]


def local_path(text: str) -> str:
    """`text` if it is a path on this server, else `/`. What follows a sign-in must never lead elsewhere."""
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if plain and all(" " < character != "\x7f" for character in text) else "/"
