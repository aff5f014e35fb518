"""What is kept of a request once it has been answered: values that hold none of its data."""

from dataclasses import dataclass
from typing import NamedTuple

from serving.routing import Choice


class FailedAttempt(NamedTuple):
    """A version that failed at a request which another one answered, or failed at in its turn."""

    version: str
    arm: str
    outcome: str
    code: str
    cause: str | None


@dataclass(slots=True)
class Record:
    """One request, or one attempt at it that was not the last (`logged` is then false).

    `outcome` is ok, client_error, model_error, invalid_output, timeout, overload or internal_error, `counted` what the metrics
    count it as. `at` is the epoch time it came in, `seconds` what it took, `took` what the version took of that. `epoch` is
    the label of its evidence; `assigned` says that the version was given it and that this has not been counted yet. `code` is
    the problem's code, `cause` for people's eyes, `kept` how the response cache took part; `bucket` and `unit` are as in
    Routed.
    """

    request_id: str
    at: float
    status: int
    seconds: float
    outcome: str
    counted: str
    took: float = 0.0
    code: str | None = None
    choice: Choice | None = None
    epoch: str = ""
    subject: str | None = None
    protocol: str | None = None
    rows: int | None = None
    trace_id: str | None = None
    cause: str | None = None
    shielded: FailedAttempt | None = None
    logged: bool = True
    assigned: bool = False
    kept: str = ""
    bucket: int | None = None
    unit: int | None = None
