"""What the compiler of the hot path takes otherwise than the interpreter does."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def hot_path() -> tuple[str, ...]:
    """As setup.py lists it."""
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOT_PATH":
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    raise AssertionError("setup.py has no HOT_PATH")


@pytest.mark.parametrize("name", hot_path())
def test_an_error_with_a_cause_is_given_it_by_hand(name: str) -> None:
    """mypyc leaves out `from error`, and with it the place in the log where a model failed."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    causes = [node for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.cause, ast.Name)]
    for raised in causes:
        assert raised.exc is not None
        assert ast.unparse(raised.exc).endswith(f".because_of({ast.unparse(raised.cause)})"), f"line {raised.lineno}"


def test_some_of_its_errors_have_causes() -> None:
    assert sum((ROOT / name).read_text(encoding="utf-8").count(".because_of(error) from error") for name in hot_path())
