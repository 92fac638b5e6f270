"""Refusals of the Lambda API: the exception's name, which botocore raises by, and the status."""

from __future__ import annotations

from tradewind.errors import TradewindError


class ApiRefusal(TradewindError):
    """A request that is refused; `kind` is the exception's name in the API."""

    def __init__(self, kind: str, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.kind, self.status, self.reason = kind, status, reason


def invalid(message: str) -> ApiRefusal:
    """A parameter that cannot be meant."""
    return ApiRefusal("InvalidParameterValueException", 400, message)


def unknown(arn: str) -> ApiRefusal:
    """A function, or a version of it, that is not there."""
    return ApiRefusal("ResourceNotFoundException", 404, f"Function not found: {arn}")


def conflict(message: str) -> ApiRefusal:
    """A name that is taken."""
    return ApiRefusal("ResourceConflictException", 409, message)


def throttled(reason: str) -> ApiRefusal:
    """More calls at a time than are allowed."""
    return ApiRefusal("TooManyRequestsException", 429, "Rate Exceeded.", reason)


def too_large(message: str) -> ApiRefusal:
    """A body that is longer than it may be."""
    return ApiRefusal("RequestTooLargeException", 413, message)


def no_room(message: str) -> ApiRefusal:
    """Packages that take more than they may together."""
    return ApiRefusal("CodeStorageExceededException", 400, message)
