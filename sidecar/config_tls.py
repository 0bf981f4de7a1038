"""The settings of TLS on a listener: the sidecar's own certificate, and which authority callers' certificates are of.

Part of `config`; reads no file (`config_rules` does, to know beforehand that they can be used).
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from sidecar.config_values import File, Section


class ServerTls(Section):
    """TLS in front of `listen`, on where there is a certificate. With `client_ca_file` callers must show one, too."""

    cert_file: File | None = None
    key_file: File | None = None
    client_ca_file: File | None = None

    @property
    def on(self) -> bool:
        """Whether the listener speaks TLS."""
        return self.cert_file is not None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file: belongs together with key_file, give both or neither")
        if self.client_ca_file is not None and not self.on:
            raise ValueError("client_ca_file: has no effect without cert_file and key_file")
        return self


class AdminTls(ServerTls):
    """TLS on the admin listener. With `client_ca_file` callers may show a certificate, with `client_required` must."""

    client_required: bool = False

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.client_required and self.client_ca_file is None:
            raise ValueError("client_required: has no effect without client_ca_file")
        return self
