"""Every error as an RFC 9457 problem: one table from leaf class to code, status and title.

The `type` of a problem is `/problems/<code>`, a page of the gateway that says what to do. Both planes answer from this table.
"""

from stagedoor.problems.leaves import MalformedRequest, MethodNotAllowed, RouteNotFound
from stagedoor.problems.table import BY_CODE, INTERNAL, PROBLEMS, Problem, code_of, problem_of
from stagedoor.problems.telling import MEDIA_TYPE, Told, tell

__all__ = [
    "BY_CODE",
    "INTERNAL",
    "MEDIA_TYPE",
    "PROBLEMS",
    "MalformedRequest",
    "MethodNotAllowed",
    "Problem",
    "RouteNotFound",
    "Told",
    "code_of",
    "problem_of",
    "tell",
]
