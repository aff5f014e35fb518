"""Requests that are rejected because of who sends them: tokens and rights."""

from collections.abc import Iterable

from stagedoor.errors.rejected import Rejected


class TokenInvalid(Rejected):
    """There is no token, or it proves nothing. `reason` is for the log; callers learn only that it failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return "The request carries no valid bearer token. Send `Authorization: Bearer <token>`; `stagedoor token` issues one."


class TokenExpired(Rejected):
    """The token was good and is past its `exp`."""

    def __str__(self) -> str:
        return "The token has expired. Ask for a new one; `stagedoor token` issues one."


class PermissionDenied(Rejected):
    """A good token that lacks a role for `action`; `roles` lists the roles that would do."""

    def __init__(self, action: str, roles: Iterable[str]) -> None:
        self.action = action
        self.roles = tuple(roles)
        super().__init__(action, self.roles)

    def __str__(self) -> str:
        return f"This token may not {self.action}. It needs one of the roles: {', '.join(self.roles)}."


class OwnApproval(Rejected):
    """The model wants a second person's approval, and this one is the first."""

    def __str__(self) -> str:
        return "Who promotes a version of this model does not approve it as well. Ask another promoter to approve it."


class TooManyAttempts(Rejected):
    """Too many bad tokens from one address; try again after `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"Too many requests with bad tokens came from this address. Try again in {self.retry_after} seconds."
