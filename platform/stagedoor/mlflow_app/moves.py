"""Moves of aliases and stages: one after the other for each model, on condition, and signed with their author."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Final
from weakref import WeakValueDictionary

from starlette.types import Receive, Scope

from stagedoor import names
from stagedoor.domain.intent import Author
from stagedoor.errors import RegistryConflict, RegistryUnavailable
from stagedoor.mlflow_app.inner import Answer, Inner
from stagedoor.mlflow_app.writes import Move
from stagedoor.telemetry import get_logger

WAIT_SECONDS: Final = 30.0
_NOT_FOUND: Final = 404


class Moves:
    """Carries out moves in this process. Several server processes do not wait for each other."""

    def __init__(self, inner: Inner, now: Callable[[], datetime]) -> None:
        self._inner = inner
        self._now = now
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._log = get_logger()

    async def carry_out(self, move: Move, author: str, expected: str | None, scope: Scope, receive: Receive) -> Answer:
        """Let MLflow make the move, then write down its author; gives MLflow's answer.

        `expected` is the version that the alias must still name, "" for none, None for no condition. Raises
        RegistryConflict if it names another, and RegistryUnavailable if others keep the model for half a minute, or MLflow
        does not say what the alias names.
        """
        lock = self._lock(move.model)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
        except TimeoutError as error:
            raise RegistryUnavailable("Another change of this model does not come to an end. Try again.") from error
        try:
            if expected is not None:
                await self._check(move, expected, scope)
            answer = await self._inner.pass_on(scope, receive)
            if answer.ok:
                await self._sign(move, author, scope)
        finally:
            lock.release()
        return answer

    def _lock(self, model: str) -> asyncio.Lock:
        # Some databases take names that differ in case alone for the same.
        return self._locks.setdefault(model.casefold(), asyncio.Lock())

    async def _check(self, move: Move, expected: str, scope: Scope) -> None:
        try:
            answer = await self._inner.get(scope, "registered-models/get", {"name": move.model})
        except TimeoutError as error:
            raise RegistryUnavailable("MLflow does not say what the alias names now. Try again.") from error
        if answer.status == _NOT_FOUND:
            return  # MLflow says so itself when it is asked to move
        if not answer.ok:
            raise RegistryUnavailable("MLflow does not say what the alias names now. Try again.")
        listed = json.loads(answer.body)["registered_model"].get("aliases", [])
        named = {entry["alias"]: entry["version"] for entry in listed}
        if named.get(move.name, "") != expected:
            raise RegistryConflict("The alias no longer names the version that you expected. Look, and ask again.")

    async def _sign(self, move: Move, author: str, scope: Scope) -> None:
        """The move has been made: whatever happens here, its caller must not hear that it failed."""
        value = str(Author(author, move.version, self._now()))
        tag = {"name": move.model, "key": f"{names.TAG_BY_PREFIX}{move.name}", "value": value}
        try:
            status = (await self._inner.post(scope, "registered-models/set-tag", tag)).status
        except Exception as error:  # noqa: BLE001  see above
            self._log.warning("author_not_written", model=move.model, moved=move.name, why=type(error).__name__)
            return
        if status != 200:  # noqa: PLR2004  HTTP
            self._log.warning("author_not_written", model=move.model, moved=move.name, status=status)
