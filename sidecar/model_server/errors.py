"""What can go wrong in the model server, as one small tree.

Each error carries one plain sentence for the person who reads it. A RequestRefused
also carries the HTTP status; the server turns it into `{"error": sentence}` in one place.
ModelServerError ends the program before it serves: the command line prints it and exits with 2.
Nothing here knows of sockets or of the runtime.
"""

from __future__ import annotations


class ModelServerError(Exception):
    """The server cannot start: the model file or the address is not usable."""


class RequestRefused(Exception):  # a noun of the answer, not of a fault in the server
    """A request that gets an error answer instead of a prediction."""

    status = 400


class NotServed(RequestRefused):
    """The caller asked for a model or version that is not this one."""

    status = 404


class RuntimeFailed(RequestRefused):
    """The request was fine, the runtime could not compute the answer."""

    status = 500


class BodyTooLarge(RequestRefused):
    """More bytes than the server takes."""

    status = 413


class EncodingNotSupported(RequestRefused):
    """A content encoding that the server cannot undo."""

    status = 415
