"""Why a request is refused: its status, and its kind by the names of text-embeddings-inference."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bertkit.errors import BertkitError, FileFormatError
from bertkit.serve.queue import ClosedError, FullError

RETRY_AFTER = {"retry-after": "1"}


class Refusal(Exception):  # noqa: N818 - also the answer to an unknown path
    """An answer with a status that is not 200."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.headers = status, kind, message, headers


def invalid(message: str) -> Refusal:
    """The refusal of a request whose contents are invalid."""
    return Refusal(422, "Validation", message)


def refusal_of(error: BaseException) -> Refusal:
    """The refusal for an error.

    >>> refusal_of(FullError("The server is busy.")).status
    429
    """
    match error:
        case Refusal():
            return error
        case FullError():
            return Refusal(429, "Overloaded", str(error), RETRY_AFTER)
        case ClosedError():
            return Refusal(503, "Unhealthy", str(error), RETRY_AFTER)
        case TimeoutError():
            return Refusal(
                504, "Timeout", "The answer was not ready in time: send the request again later, or less text."
            )
        case FileFormatError():  # of the runtime of an exported model
            return Refusal(500, "Backend", str(error))
        case BertkitError():
            return invalid(str(error))
        case _:  # the log has the error; its message may contain parts of other requests
            return Refusal(500, "Backend", "The model failed at this request: the log of the server says why.")
