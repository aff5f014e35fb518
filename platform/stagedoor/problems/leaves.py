"""Errors that only HTTP knows, so the tree itself has no place for them."""

from stagedoor.errors import Rejected


class RouteNotFound(Rejected):
    """No path of this gateway."""

    def __str__(self) -> str:
        return "There is nothing at this path. /docs lists the paths of this gateway."


class MethodNotAllowed(Rejected):
    """The path exists and does not take this method; `allowed` are those it takes."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(allowed)
        self.allowed = allowed

    def __str__(self) -> str:
        return f"This path takes {', '.join(self.allowed)} only."


class MalformedRequest(Rejected):
    """Not a request that HTTP allows, for a reason that no other leaf names; `why` is a sentence that quotes nothing of it."""

    def __init__(self, why: str = "The request is malformed. Compare it with the examples at /docs.") -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return self.why
