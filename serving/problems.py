"""The gateway's answer to an error, from the table that both planes share."""

from serving.http import Reply
from stagedoor.problems import tell


def reply_for(error: BaseException, request_id: str, *, open_inference: bool = False) -> Reply:
    """The answer that tells `error`. Never raises, and shows nothing of an exception that is not ours.

    With `open_inference` the body also has the string member `error` that the Open Inference Protocol asks for.
    """
    return Reply(*tell(error, request_id, open_inference=open_inference))
