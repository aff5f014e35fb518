"""Moves of aliases and stages: one after the other for each model, on condition, and signed by their author.

The signature is written first: who sees the alias at its new place can be sure to see also who put it there.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final
from weakref import WeakValueDictionary

from starlette.types import Receive, Scope

from stagedoor import names
from stagedoor.domain.intent import Author, RegisteredModel
from stagedoor.errors import RegistryConflict, RegistryGarbled, RegistryUnavailable
from stagedoor.mlflow_app.inner import Answer, Inner
from stagedoor.mlflow_app.writes import Move
from stagedoor.registry.mlflow_answers import read_model
from stagedoor.telemetry import get_logger

WAIT_SECONDS: Final = 30.0
_NO_SUCH_MODEL: Final = frozenset({400, 404})
"""MLflow answers 400 to names that no model can have."""


class Moves:
    """Carries out moves in this process. Several server processes do not wait for each other."""

    def __init__(self, inner: Inner, now: Callable[[], datetime]) -> None:
        self._inner = inner
        self._now = now
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._log = get_logger()

    async def carry_out(self, move: Move, author: str, expected: str | None, scope: Scope, receive: Receive) -> Answer:
        """Let MLflow make the move; gives its answer.

        `expected` is the version that the alias must still name, "" for none, None for no condition. Raises
        RegistryConflict if it names another, and RegistryUnavailable if others keep the model for half a minute, or MLflow
        does not say how the model stands.
        """
        lock = self._lock(move.model)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
        except TimeoutError as error:
            raise RegistryUnavailable("Another change of this model does not come to an end. Try again.") from error
        try:
            before = await self._look(move.model, scope)
            named = before.aliases.get(move.name, "") if before is not None else ""
            if expected is not None and named != expected:
                raise RegistryConflict("The alias no longer names the version that you expected. Look, and ask again.")
            if before is None:
                return await self._inner.pass_on(scope, receive)  # MLflow itself says that there is no such model
            return await self._signed(move, author, before, scope, receive)
        finally:
            lock.release()

    async def _signed(self, move: Move, author: str, before: RegisteredModel, scope: Scope, receive: Receive) -> Answer:
        key = f"{names.TAG_BY_PREFIX}{move.name}"
        signature = str(Author(author, move.version, self._now())) if _matters(move, before) else None
        await self._tag(move, key, signature, scope)
        moved = False
        try:
            answer = await self._inner.pass_on(scope, receive)
            moved = answer.ok
        finally:
            if not moved:
                await self._tag(move, key, before.tags.get(key), scope)
        return answer

    def _lock(self, model: str) -> asyncio.Lock:
        # Some databases take names that differ in case alone for the same.
        return self._locks.setdefault(model.casefold(), asyncio.Lock())

    async def _look(self, model: str, scope: Scope) -> RegisteredModel | None:
        try:
            answer = await self._inner.get(scope, "registered-models/get", {"name": model})
            if answer.ok:
                return read_model(answer.body)
        except (TimeoutError, RegistryGarbled) as error:
            raise RegistryUnavailable("MLflow does not say how the model stands. Try again.") from error
        if answer.status in _NO_SUCH_MODEL:
            return None
        raise RegistryUnavailable("MLflow does not say how the model stands. Try again.")

    async def _tag(self, move: Move, key: str, value: str | None, scope: Scope) -> None:
        """Without a signature the move counts all the same: nobody is known to have made it then, and the log says so."""
        try:
            if value is None:
                status = (
                    await self._inner.delete(scope, "registered-models/delete-tag", {"name": move.model, "key": key})
                ).status
            else:
                tag = {"name": move.model, "key": key, "value": value}
                status = (await self._inner.post(scope, "registered-models/set-tag", tag)).status
        except Exception as error:  # noqa: BLE001  see above; MLflow's own failures are of any kind
            self._log.warning("author_not_written", model=move.model, moved=move.name, why=type(error).__name__)
            return
        if status != 200:  # noqa: PLR2004  HTTP
            self._log.warning("author_not_written", model=move.model, moved=move.name, status=status)


def _matters(move: Move, before: RegisteredModel) -> bool:
    """Whether anybody will ask who did it. Of aliases that come and go with each build nothing shall be left behind."""
    lasting = (names.CHAMPION, names.CHALLENGER)
    return move.version is not None or move.name in lasting or move.name in before.tags.get(names.TAG_TRAFFIC, "")
