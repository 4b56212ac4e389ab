"""Errors of the data plane: each knows the HTTP status it is answered with."""

from __future__ import annotations

from mlops_workbench.core.errors import InvalidInput, NotFound, Unavailable, WorkbenchError


class InvalidRequest(InvalidInput):
    """A request that cannot be answered as it was sent: its form, a column, a type or a shape is wrong."""

    code = "invalid_request"
    status = 400


class UnknownModel(NotFound):
    """The URL names a model or version that this endpoint does not serve."""

    code = "unknown_model"


class NotReady(Unavailable):
    """No version is loaded yet, or too many requests wait."""

    code = "not_ready"


class BodyTooLarge(InvalidInput):
    """The request body is larger than ``serving.max_body_mb``."""

    code = "body_too_large"
    status = 413


class UnsupportedMedia(InvalidInput):
    """The content type or encoding of the body is not supported."""

    code = "unsupported_media_type"
    status = 415


class InvalidModel(WorkbenchError):
    """A model folder that cannot be served: damaged, not trusted, or of a kind that answers no rows."""

    code = "invalid_model"
    status = 422


class PredictionFailed(WorkbenchError):
    """The model itself failed on input that its signature allows."""

    code = "prediction_failed"
