"""Which values matter to a fitted model, column by column: thresholds, learned ranges, categories. Only suggestions."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from serving.compiling.grown import GROWN, NotGrown, class_name

Landmarks = dict[str, list[Any]]
"""For each column numbers or texts."""

_MOST: Final = 4000
_STATISTICS: Final = ("mean_", "center_", "data_min_", "data_max_", "statistics_", "theta_", "cluster_centers_", "_fit_X")
_SPLIT: Final = re.compile(r'"split": ?"([^"]+)"[^{}]*?"split_condition": ?([-+.0-9eE]+)')


def landmarks(model: Any, columns: Sequence[str]) -> Landmarks:  # noqa: ANN401  a fitted estimator, as everywhere below
    """What `model` and its parts say about `columns`, which are the features it was fitted with, in order."""
    found: Landmarks = {column: [] for column in columns}
    _gather(model, columns, found)
    return {column: _thinned(values) for column, values in found.items()}


def categories(model: Any, columns: Sequence[str]) -> dict[str, list[Any]]:  # noqa: ANN401
    """The categories that encoders have learned for a column, where there are any."""
    found: dict[str, list[Any]] = {}
    for part, own in _parts(model, columns):
        learned = getattr(part, "categories_", None)
        if isinstance(learned, list) and len(learned) == len(own):
            for column, values in zip(own, learned, strict=True):
                found.setdefault(column, []).extend(np.asarray(values).tolist())
    return found


def _gather(model: Any, columns: Sequence[str], found: Landmarks) -> None:  # noqa: ANN401
    for part, own in _parts(model, columns):
        for name in _STATISTICS:
            _add_statistic(getattr(part, name, None), own, found)
        scale = getattr(part, "scale_", None)
        mean = getattr(part, "mean_", None)
        if isinstance(scale, np.ndarray) and isinstance(mean, np.ndarray) and scale.shape == mean.shape:
            _add_statistic(np.stack([mean - 2 * scale, mean - scale, mean + scale, mean + 2 * scale]), own, found)
        for place, value in _thresholds(part):
            if 0 <= place < len(own):
                found[own[place]].append(value)
    for column, values in categories(model, columns).items():
        found[column].extend(values)


def _parts(model: Any, columns: Sequence[str]) -> list[tuple[Any, list[str]]]:  # noqa: ANN401
    """`model` and what is within it, each with the columns that it reads; parts that read others are left out."""
    own = list(columns)
    if hasattr(model, "transformers_"):
        return [
            part for _, inner, chosen in model.transformers_ for part in _parts(inner, _chosen(chosen, own)) if inner != "drop"
        ]
    if hasattr(model, "steps"):
        steps = [step for _, step in model.steps if step is not None and not isinstance(step, str)]
        return [part for step in steps if getattr(step, "n_features_in_", len(own)) == len(own) for part in _parts(step, own)]
    return [(model, own)]


def _chosen(chosen: Any, columns: list[str]) -> list[str]:  # noqa: ANN401  names, places, a mask or a slice
    if isinstance(chosen, str):
        return [chosen]
    if isinstance(chosen, slice) and (chosen.start is None or isinstance(chosen.start, int)):
        return columns[chosen]
    items = np.asarray(chosen if not np.isscalar(chosen) else [chosen])
    if items.dtype.kind == "b":
        return [column for column, is_in in zip(columns, items, strict=True) if is_in]
    return [str(item) if isinstance(item, str) else columns[int(item)] for item in items.tolist()]


def _add_statistic(value: Any, columns: list[str], found: Landmarks) -> None:  # noqa: ANN401  whatever the attribute holds
    array = value if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" else None
    if array is None or array.ndim == 0 or array.shape[-1] != len(columns):
        return
    for column, values in zip(columns, array.reshape(-1, len(columns)).T, strict=True):
        found[column].extend(values[:_MOST].tolist())


def _thresholds(part: Any) -> list[tuple[int, float]]:  # noqa: ANN401
    name = class_name(part)
    if name in GROWN:
        try:
            attributes = GROWN[name](part).ensemble.attributes()
        except NotGrown:
            return []
        return list(zip(attributes["nodes_featureids"], attributes["nodes_splits"].tolist(), strict=True))
    if name.startswith("xgboost.") and hasattr(part, "get_booster"):
        booster = part.get_booster()
        places = _places(booster.feature_names)
        text = "".join(booster.get_dump(dump_format="json"))
        return [(places.get(split, _place(split)), float(value)) for split, value in _SPLIT.findall(text)]
    return []


def _places(feature_names: Sequence[str] | None) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(feature_names or ())}


def _place(split: str) -> int:
    return int(split[1:]) if split[1:].isdigit() else -1


def _thinned(values: list[Any]) -> list[Any]:
    """At most 4,000 different ones, over the whole range."""
    kept = sorted({value for value in values if isinstance(value, int | float) and np.isfinite(value)})
    texts = list(dict.fromkeys(value for value in values if isinstance(value, str)))
    step = max(1, len(kept) // _MOST)
    return kept[::step] + texts
