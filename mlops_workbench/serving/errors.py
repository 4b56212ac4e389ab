"""Errors of the data plane, with their HTTP status."""

from __future__ import annotations

from mlops_workbench.core.errors import InvalidInput, NotFound, Unavailable, WorkbenchError


class InvalidRequest(InvalidInput):
    """A request whose form, column, type or shape is wrong."""

    code = "invalid_request"
    status = 400


class UnknownModel(NotFound):
    """The URL names a model or version that this endpoint does not serve."""

    code = "unknown_model"


class NotReady(Unavailable):
    """No version is loaded yet."""

    code = "not_ready"


class Overloaded(Unavailable):
    """Too many requests or rows wait."""

    code = "overloaded"


class TimedOut(Unavailable):
    """The answer took longer than ``serving.timeout_seconds``."""

    code = "timed_out"


class UnknownRows(InvalidInput):
    """Feedback for rows that are not in the prediction log of this endpoint."""

    code = "unknown_rows"
    status = 422


class BodyTooLarge(InvalidInput):
    """The request is larger than ``serving.max_body_mb``, or has too many rows."""

    code = "body_too_large"
    status = 413


class UnsupportedMedia(InvalidInput):
    """The content type or encoding of the body is not supported."""

    code = "unsupported_media_type"
    status = 415


class InvalidModel(WorkbenchError):
    """A model folder that cannot be served: damaged, not trusted, or without a predictor."""

    code = "invalid_model"
    status = 422


class InvalidSignature(InvalidModel):
    """A model whose signature is wrong, or missing or by an unknown key where a trusted one is required."""

    code = "invalid_signature"


class PredictionFailed(WorkbenchError):
    """The model failed on input that its signature allows."""

    code = "prediction_failed"
