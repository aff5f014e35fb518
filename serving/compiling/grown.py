"""What scikit-learn's and LightGBM's tree models are made of: one `Forest` for each kind of fitted model.

Reads the libraries' fitted attributes and imports none of them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from serving.compiling.forest import Ensemble, Tree

Link = Literal["mean", "sum", "exp", "logistic", "softmax"]
"""From the sum of all trees to the answer. `mean` divides by their number; the last two are of classifiers."""


@dataclass(frozen=True, slots=True)
class Forest:
    """The sum of trees behind a model. `single`: features are rounded to single precision first, as the library does.

    `divisor` is for `mean`; `scale` multiplies the sum for `logistic`. `tie` is the answer of a binary `logistic` at zero.
    """

    ensemble: Ensemble
    link: Link
    single: bool
    divisor: float = 1.0
    scale: float = 1.0
    tie: Literal[0, 1] = 0


class NotGrown(ValueError):
    """This model's trees are of a kind that cannot be written down here; says which."""


def of_forest(model: Any) -> Forest:  # noqa: ANN401  a fitted estimator, as everywhere below
    """Random forests and extra trees."""
    return _mean_of([estimator.tree_ for estimator in model.estimators_], model)


def of_tree(model: Any) -> Forest:  # noqa: ANN401
    """A single decision tree."""
    return _mean_of([model.tree_], model)


def of_gradient_boosting(model: Any) -> Forest:  # noqa: ANN401
    """GradientBoostingClassifier and -Regressor with their own constant start."""
    init = model.init_
    if not (isinstance(init, str) or type(init).__name__.startswith("Dummy")):
        raise NotGrown("it starts from another estimator (init)")
    stages = model.estimators_
    ensemble = Ensemble(stages.shape[1])
    ensemble.add_constant(np.ravel(model._raw_predict_init(np.zeros((1, model.n_features_in_)))).tolist())  # noqa: SLF001
    for stage in stages:
        for target, estimator in enumerate(stage):
            tree = estimator.tree_
            ensemble.add(_of_cython(tree, model.learning_rate * tree.value[:, 0, :1]), target)
    if not hasattr(model, "classes_"):
        return Forest(ensemble, "sum", single=True)
    if model.loss != "log_loss":
        raise NotGrown(f"its loss is {model.loss}")
    return Forest(ensemble, "logistic" if stages.shape[1] == 1 else "softmax", single=True, tie=1)


def of_histograms(model: Any) -> Forest:  # noqa: ANN401
    """HistGradientBoostingClassifier and -Regressor without categorical features."""
    if model.is_categorical_ is not None and np.any(model.is_categorical_):
        raise NotGrown("it splits by categorical features of its own")
    predictors = model._predictors  # noqa: SLF001  there is no public way to the trees
    ensemble = Ensemble(len(predictors[0]))
    ensemble.add_constant(np.ravel(model._baseline_prediction).tolist())  # noqa: SLF001
    for stage in predictors:
        for target, predictor in enumerate(stage):
            ensemble.add(_of_histogram(predictor.nodes), target)
    if hasattr(model, "classes_"):
        return Forest(ensemble, "logistic" if len(predictors[0]) == 1 else "softmax", single=False)
    link = _LINKS.get(type(model._loss.link).__name__)  # noqa: SLF001
    if link is None:
        raise NotGrown(f"its loss is {model.loss}")
    return Forest(ensemble, link, single=False)


_LINKS: Final[Mapping[str, Link]] = {"IdentityLink": "sum", "LogLink": "exp"}


def of_lightgbm(model: Any) -> Forest:  # noqa: ANN401
    """LGBMClassifier, LGBMRegressor and LGBMRanker with numeric splits."""
    dump = model.booster_.dump_model()
    if dump.get("average_output"):
        raise NotGrown("its boosting type averages trees")
    name, _, settings = str(dump.get("objective", "custom")).partition(" ")
    link = _OBJECTIVES.get(name)
    if link is None or "sqrt" in settings:
        raise NotGrown(f"its objective is {name} {settings}".rstrip())
    ensemble = Ensemble(int(dump["num_tree_per_iteration"]))
    for place, info in enumerate(dump["tree_info"]):
        ensemble.add(_of_nested(info["tree_structure"]), place % ensemble.targets)
    given = dict(part.split(":", 1) for part in settings.split() if ":" in part)
    return Forest(ensemble, link, single=False, scale=float(given.get("sigmoid", 1)))


_OBJECTIVES: Final[Mapping[str, Link]] = {
    "binary": "logistic",
    "multiclass": "softmax",
    "regression": "sum",
    "regression_l1": "sum",
    "huber": "sum",
    "fair": "sum",
    "quantile": "sum",
    "mape": "sum",
    "lambdarank": "sum",
    "rank_xendcg": "sum",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
}

GROWN: Final[Mapping[str, Callable[[Any], Forest]]] = {
    "sklearn.ensemble._forest.RandomForestClassifier": of_forest,
    "sklearn.ensemble._forest.RandomForestRegressor": of_forest,
    "sklearn.ensemble._forest.ExtraTreesClassifier": of_forest,
    "sklearn.ensemble._forest.ExtraTreesRegressor": of_forest,
    "sklearn.tree._classes.DecisionTreeClassifier": of_tree,
    "sklearn.tree._classes.DecisionTreeRegressor": of_tree,
    "sklearn.tree._classes.ExtraTreeClassifier": of_tree,
    "sklearn.tree._classes.ExtraTreeRegressor": of_tree,
    "sklearn.ensemble._gb.GradientBoostingClassifier": of_gradient_boosting,
    "sklearn.ensemble._gb.GradientBoostingRegressor": of_gradient_boosting,
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier": of_histograms,
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor": of_histograms,
    "lightgbm.sklearn.LGBMClassifier": of_lightgbm,
    "lightgbm.sklearn.LGBMRegressor": of_lightgbm,
    "lightgbm.sklearn.LGBMRanker": of_lightgbm,
}
"""By the full name of the class."""


def class_name(model: object) -> str:
    """The full name of an object's class."""
    return f"{type(model).__module__}.{type(model).__qualname__}"


def _mean_of(trees: list[Any], model: Any) -> Forest:  # noqa: ANN401
    if model.n_outputs_ != 1:
        raise NotGrown("it answers several outputs")
    ensemble = Ensemble(int(trees[0].value.shape[2]))
    for tree in trees:
        ensemble.add(_of_cython(tree, tree.value[:, 0, :]))
    return Forest(ensemble, "mean", single=True, divisor=float(len(trees)))


def _of_cython(tree: Any, values: Any) -> Tree:  # noqa: ANN401
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    return Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, missing, values)


def _of_histogram(nodes: Any) -> Tree:  # noqa: ANN401  a structured array
    is_leaf = nodes["is_leaf"].astype(bool)
    left, right = (np.where(is_leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
    missing = nodes["missing_go_to_left"]
    return Tree(nodes["feature_idx"], nodes["num_threshold"], left, right, missing, nodes["value"].reshape(-1, 1))


def _of_nested(root: Mapping[str, Any]) -> Tree:
    """LightGBM's nested nodes. One that was trained without missing values reads NaN as zero."""
    nodes = list(_walk(root))
    places = {id(node): place for place, node in enumerate(nodes)}
    feature, threshold, left, right, missing, values = [], [], [], [], [], []
    for node in nodes:
        inner = "left_child" in node
        if inner and (node["decision_type"] != "<=" or node["missing_type"] == "Zero"):
            raise NotGrown("it splits by categorical features or reads zero as missing")
        feature.append(node["split_feature"] if inner else 0)
        threshold.append(float(node["threshold"]) if inner else 0.0)
        left.append(places[id(node["left_child"])] if inner else -1)
        right.append(places[id(node["right_child"])] if inner else -1)
        as_zero = inner and node["missing_type"] == "None"
        missing.append(inner and (float(node["threshold"]) >= 0 if as_zero else node["default_left"]))
        values.append([0.0 if inner else float(node["leaf_value"])])
    return Tree(*map(np.array, (feature, threshold, left, right, missing, values)))


def _walk(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        if "left_child" in node:
            pending += [node["right_child"], node["left_child"]]
