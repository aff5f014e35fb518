"""Settings from the environment: read once, and anew when it is another one."""

import pytest

from stagedoor.errors import ConfigurationError
from stagedoor.settings import load_settings


def test_the_same_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEDOOR_THREADS", "7")
    first = load_settings()
    assert load_settings() is first
    assert first.threads == 7


@pytest.mark.parametrize("name", ["STAGEDOOR_THREADS", "stagedoor_threads"])
def test_another_environment_is_read_anew(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = load_settings()
    monkeypatch.setenv(name, str(before.threads + 3))
    assert load_settings().threads == before.threads + 3


def test_what_a_caller_says_is_for_that_caller_alone() -> None:
    assert load_settings(threads=9).threads == 9
    assert load_settings().threads != 9


def test_an_environment_that_cannot_be_used_is_refused_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEDOOR_THREADS", "many")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="STAGEDOOR_THREADS"):
            load_settings()
