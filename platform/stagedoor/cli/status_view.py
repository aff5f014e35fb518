"""The gateway's `/status` answer as a picture for the terminal. Pure: JSON in, something rich can print out."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_BAR: Final = 20
_WHOLE: Final = 10_000
_COLOURS: Final = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}

Json = Mapping[str, Any]


def view(status: Json) -> RenderableType:
    """Models with their arms and shares, refused versions and problems in red, how old the news is, and the workers."""
    return Group(_headline(status), Text(), _models(status), *_problems(status), Text(), _workers(status))


def bar(weight: int) -> str:
    """A share in basis points as a bar of 20 cells; anything above nothing shows."""
    cells = round(_BAR * weight / _WHOLE)
    filled = min(_BAR - 1, max(1, cells)) if 0 < weight < _WHOLE else cells
    return "█" * filled + "░" * (_BAR - filled)


def percent(weight: int) -> str:
    """A share in basis points as people read it: `12.5 %`."""
    return f"{weight / 100:g} %"


def _headline(status: Json) -> Text:
    health = status.get("health") or {}
    judged = str(health.get("status", "unknown"))
    age = status.get("staleness_seconds")
    news = "registry never read" if age is None else f"registry read {age:.1f} s ago"
    text = Text.assemble(
        (judged, f"bold {_COLOURS.get(judged, 'white')}"), f"  snapshot {status.get('serial', 0)}, {news}", overflow="fold"
    )
    for reason in health.get("reasons", ()):
        text.append(f"\n  {reason}", "yellow")
    error = (status.get("registry") or {}).get("error")
    if error:
        text.append(f"\n  MLflow: {error}", "red")
    return text


def _models(status: Json) -> RenderableType:
    models = status.get("models") or []
    if not models:
        return Text("No models. Register one in MLflow and give it the alias champion.", "dim")
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "arm", "version", "share", "", "epoch", "refused"):
        table.add_column(heading, overflow="fold")
    for model in models:
        _add_model(table, model)
    return table


def _add_model(table: Table, model: Json) -> None:
    refused = ", ".join(f"{v['version']} ({v['code']})" for v in model.get("versions", ()) if v.get("state") == "refused")
    name = escape(str(model["name"]))
    route = model.get("route")
    if not route:
        table.add_row(name, "[dim]nothing live[/]", "", "", "", "", f"[red]{escape(refused)}[/]")
        return
    compiled = {v["version"] for v in model.get("versions", ()) if v.get("compiled")}
    for index, arm in enumerate(route["arms"]):
        first = index == 0
        table.add_row(
            name if first else "",
            escape(str(arm["name"])),
            f"{arm['version']} [dim]compiled[/]" if arm["version"] in compiled else str(arm["version"]),
            f"[{'green' if first else 'cyan'}]{bar(arm['weight'])}[/]",
            percent(arm["weight"]),
            str(route["epoch"]) if first else "",
            f"[red]{escape(refused)}[/]" if first else "",
        )


def _problems(status: Json) -> list[Text]:
    lines = [
        Text(f"{model['name']}: {problem}", "red")
        for model in status.get("models") or ()
        for problem in model.get("problems", ())
    ]
    return [Text(), *lines] if lines else []


def _workers(status: Json) -> Text:
    workers = status.get("workers") or []
    behind = [worker for worker in workers if worker.get("serial") != status.get("serial")]
    text = Text(f"{len(workers)} workers", "dim" if workers else "red")
    for worker in behind:
        text.append(f"\n  worker {worker.get('pid')} is at snapshot {worker.get('serial')}", "yellow")
    return text
