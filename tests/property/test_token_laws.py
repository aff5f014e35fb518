"""Laws of tokens: what was changed never verifies, what was issued always does."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagedoor.auth import build_authenticator, issue_token
from stagedoor.auth.attempts import Attempts
from stagedoor.auth.principal import IMPLIED
from stagedoor.errors import TokenInvalid, TooManyAttempts
from stagedoor.settings import Settings

NOW = 1_800_000_000.0
SETTINGS = Settings(token_secret="s" * 40, bad_tokens_per_minute=10**9)
DOOR = build_authenticator(SETTINGS)
TOKEN = issue_token(SETTINGS, subject="ann", roles=["promoter"], now=NOW)


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_with_one_other_character_never_verifies(position: int, character: str) -> None:
    mutated = TOKEN[:position] + character + TOKEN[position + 1 :]
    if mutated != TOKEN:
        with pytest.raises(TokenInvalid):
            DOOR.authenticate(f"Bearer {mutated}", now=NOW)


@given(st.text(max_size=200))
def test_any_text_as_a_header_is_refused_in_order(text: str) -> None:
    with pytest.raises(TokenInvalid):
        DOOR.authenticate(text, now=NOW)


@given(
    st.sets(st.sampled_from(sorted(IMPLIED))),
    st.lists(st.text(max_size=20), max_size=5),
    st.floats(0, 3600),
)
def test_an_issued_token_verifies_until_it_expires(roles: set[str], models: list[str], later: float) -> None:
    token = issue_token(SETTINGS, subject="ann", roles=roles, models=models, lifetime_seconds=3600, now=NOW)
    principal = DOOR.authenticate(f"Bearer {token}", now=NOW + later)
    assert principal.models == tuple(models)
    assert roles <= principal.roles
    assert principal.roles == frozenset().union(*(IMPLIED[role] for role in roles))


@given(st.sampled_from(sorted(IMPLIED)))
def test_what_a_role_implies_implies_nothing_more(role: str) -> None:
    assert role in IMPLIED[role]
    assert all(IMPLIED[implied] <= IMPLIED[role] for implied in IMPLIED[role])


@given(st.lists(st.tuples(st.ip_addresses().map(str), st.floats(0, 300)), max_size=60))
def test_counted_addresses_are_bounded(calls: list[tuple[Any, float]]) -> None:
    attempts = Attempts(per_minute=3, max_addresses=8)
    for address, moment in calls:
        with contextlib.suppress(TooManyAttempts):
            attempts.record(address, NOW + moment)
        assert len(attempts) <= 8
