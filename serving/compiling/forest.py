"""Decision trees of any library as the attributes of one ONNX `TreeEnsemble` in double precision.

The operators that converters usually write (TreeEnsembleClassifier, TreeEnsembleRegressor) compare and add up in single
precision, so that a row near a threshold takes another branch. This one (ai.onnx.ml 5) keeps every threshold and every leaf
as it is, and adds trees up in their order: sums come out to the last bit as the libraries compute them.
Source: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from serving.values import Array

DOMAIN: Final = "ai.onnx.ml"
OPSET: Final = 5
_SUM: Final = 1
_LEQ: Final = 0


@dataclass(frozen=True, slots=True)
class Tree:
    """One binary tree by node: a row goes left where its feature is at most the threshold; node 0 is the root.

    `left` and `right` are -1 in leaves; `values` is `[nodes, targets]`, read in leaves only; `missing_left` says where NaN
    goes.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    values: Array


@dataclass(slots=True)
class Ensemble:
    """A growing sum of trees with `targets` results for each row."""

    targets: int
    _inner: dict[str, list[Any]] = field(
        default_factory=lambda: {
            name: []
            for name in (
                "nodes_featureids",
                "nodes_splits",
                "nodes_truenodeids",
                "nodes_falsenodeids",
                "nodes_trueleafs",
                "nodes_falseleafs",
                "nodes_missing_value_tracks_true",
            )
        }
    )
    _roots: list[int] = field(default_factory=list)
    _leaf_targets: list[int] = field(default_factory=list)
    _leaf_weights: list[float] = field(default_factory=list)

    def add(self, tree: Tree, target: int | None = None) -> None:
        """Add a tree: to `target`, or its column k of values to target k. A leaf holds one number, so there it grows twice."""
        columns = [(target, 0)] if target is not None else [(k, k) for k in range(tree.values.shape[1])]
        for into, column in columns:
            self._grow(tree, into, column)

    def add_constant(self, values: Sequence[float]) -> None:
        """Add the same to every row."""
        none = np.full(1, -1)
        for target, value in enumerate(values):
            self.add(Tree(np.zeros(1), np.zeros(1), none, none, np.zeros(1), np.array([[value]])), target)

    def attributes(self) -> dict[str, Any]:
        """The attributes of the node; numbers that are no tensors in ONNX are lists."""
        inner = {name: values for name, values in self._inner.items() if name != "nodes_splits"}
        return {
            **inner,
            "nodes_splits": np.array(self._inner["nodes_splits"], np.float64),
            "nodes_modes": np.full(len(self._inner["nodes_splits"]), _LEQ, np.uint8),
            "leaf_weights": np.array(self._leaf_weights, np.float64),
            "leaf_targetids": self._leaf_targets,
            "tree_roots": self._roots,
            "n_targets": self.targets,
            "aggregate_function": _SUM,
            "post_transform": 0,
        }

    def _grow(self, tree: Tree, target: int, column: int) -> None:
        is_leaf = tree.left < 0
        places = np.where(
            is_leaf,
            len(self._leaf_weights) + np.cumsum(is_leaf) - 1,
            len(self._inner["nodes_splits"]) + np.cumsum(~is_leaf) - 1,
        )
        self._leaf_weights += tree.values[is_leaf, column].tolist()
        self._leaf_targets += [target] * int(is_leaf.sum())
        self._roots.append(len(self._inner["nodes_splits"]))
        inner = self._inner
        if is_leaf[0]:  # the operator knows no tree of one leaf: both ways lead there
            alone = {"nodes_truenodeids": int(places[0]), "nodes_falsenodeids": int(places[0])}
            leaves = {"nodes_trueleafs": 1, "nodes_falseleafs": 1}
            for name, values in inner.items():
                values.append({**alone, **leaves}.get(name, 0))
            return
        branches = ~is_leaf
        left, right = tree.left[branches].astype(np.int64), tree.right[branches].astype(np.int64)
        inner["nodes_featureids"] += tree.feature[branches].astype(np.int64).tolist()
        inner["nodes_splits"] += tree.threshold[branches].astype(np.float64).tolist()
        inner["nodes_truenodeids"] += places[left].tolist()
        inner["nodes_falsenodeids"] += places[right].tolist()
        inner["nodes_trueleafs"] += is_leaf[left].astype(np.int64).tolist()
        inner["nodes_falseleafs"] += is_leaf[right].astype(np.int64).tolist()
        inner["nodes_missing_value_tracks_true"] += tree.missing_left[branches].astype(np.int64).tolist()
