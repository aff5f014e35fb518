"""Finding a request in the gateway's log, and bodies for a drill."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagedoor.cli import request_log
from stagedoor.cli.drill_body import zeros
from stagedoor.cli.request_log import backwards, find_line


def line(request_id: str, **more: Any) -> str:
    return json.dumps({"request_id": request_id, "event": "prediction", **more}, separators=(",", ":"), ensure_ascii=False)


def test_the_newest_line_with_the_id_is_found(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text(
        "\n".join([line("a", n=1), "broken {", line("a", n=2), line("ab"), '{"request_id":"a","event":"other"}', "[]"])
    )
    found = find_line(log, "a")
    assert found is not None
    assert found["n"] == 2
    assert find_line(log, "b") is None


def test_an_id_with_quotes_is_found_as_it_was_sent(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    log.write_text(line('a"\\b') + "\n")
    assert find_line(log, 'a"\\b') is not None


def test_the_look_back_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "CHUNK", 64)
    log = tmp_path / "gateway.log"
    log.write_text(line("old") + "\n" + "x" * 1000 + "\n")
    assert find_line(log, "old", max_bytes=500) is None
    assert find_line(log, "old") is not None


@given(st.lists(st.text(alphabet="abcé ", max_size=9), max_size=30), st.integers(1, 40))
def test_lines_come_back_whole_whatever_the_size_of_a_look(words: list[str], chunk: int) -> None:
    text = "\n".join(words)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_log, "CHUNK", chunk)
        log = Path(folder) / "log"
        log.write_text(text, encoding="utf-8")
        assert [part.decode() for part in backwards(log, 10**6)][::-1] == text.split("\n")


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        (
            [{"name": "a", "datatype": "FP64", "shape": [-1]}, {"name": "b", "datatype": "BYTES", "shape": [-1]}],
            {"dataframe_split": {"columns": ["a", "b"], "data": [[0.0, ""]]}},
        ),
        ([{"name": "", "datatype": "FP32", "shape": [-1, 2]}], {"inputs": [[0.0, 0.0]]}),
        (
            [{"name": "x", "datatype": "INT64", "shape": [-1, 2]}, {"name": "y", "datatype": "BOOL", "shape": [-1]}],
            {"inputs": {"x": [[0, 0]], "y": [False]}},
        ),
    ],
)
def test_a_body_of_zeros_has_the_form_that_the_model_asks_for(inputs: list[dict[str, Any]], body: dict[str, Any]) -> None:
    assert zeros(inputs) == body
