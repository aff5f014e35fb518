"""The table of rights."""

from types import MappingProxyType

import pytest

from stagedoor.auth import Principal, check_predict, check_role
from stagedoor.auth.principal import IMPLIED
from stagedoor.domain.refs import ModelRef
from stagedoor.errors import ModelNotFound, PermissionDenied


def caller(*roles: str, models: tuple[str, ...] = ("*",)) -> Principal:
    granted = frozenset().union(*(IMPLIED[role] for role in roles))
    return Principal("ann", granted, models, 0.0, MappingProxyType({}))


@pytest.mark.parametrize(
    ("role", "ref", "denied"),
    [
        ("predictor", "fraud", False),
        ("predictor", "fraud@champion", False),
        ("predictor", "fraud/7", True),
        ("predictor", "fraud/Production", True),
        ("tester", "fraud", False),
        ("tester", "fraud/7", False),
        ("tester", "fraud/Production", False),
        ("viewer", "fraud", True),
        ("viewer", "fraud/7", True),
        ("promoter", "fraud/7", False),
        ("admin", "fraud/7", False),
    ],
)
def test_roles_decide_who_may_ask_for_what(role: str, ref: str, *, denied: bool) -> None:
    if denied:
        with pytest.raises(PermissionDenied):
            check_predict(caller(role), ModelRef.parse(ref))
    else:
        check_predict(caller(role), ModelRef.parse(ref))


@pytest.mark.parametrize(
    ("patterns", "name", "seen"),
    [
        (("*",), "fraud", True),
        (("fraud",), "fraud", True),
        (("fraud",), "fraud2", False),
        (("fraud*",), "fraud-eu", True),
        (("fraud*",), "Fraud-eu", False),
        (("risk", "fra?d"), "fraud", True),
        (("fraud",), "fraud\n", False),
        ((), "fraud", False),
        (("",), "fraud", False),
    ],
)
def test_patterns_decide_which_models_exist(patterns: tuple[str, ...], name: str, *, seen: bool) -> None:
    if seen:
        check_predict(caller("predictor", models=patterns), ModelRef(name))
    else:
        with pytest.raises(ModelNotFound):
            check_predict(caller("admin", models=patterns), ModelRef(name))


def test_a_hidden_model_answers_like_an_absent_one_even_to_who_may_not_pin() -> None:
    ref = ModelRef.parse("secret/7")
    with pytest.raises(ModelNotFound) as caught:
        check_predict(caller("predictor", models=("fraud",)), ref)
    assert str(caught.value) == str(ModelNotFound("secret/7"))


def test_a_role_lets_pass_and_another_is_told_what_it_lacks() -> None:
    check_role(caller("promoter"), "read the history", "viewer")
    with pytest.raises(PermissionDenied, match=r"may not move an alias\. It needs one of the roles: promoter\."):
        check_role(caller("viewer", "predictor"), "move an alias", "promoter")
