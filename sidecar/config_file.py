"""The configuration file: read, checked as a whole, and every fault named with file, line, key and nearest key.

All faults come at once. Reads the one file it is given, and through `config_rules` the certificates that it names;
paths inside it stay as written, relative to the working directory. What a setting means is checked in `config`; YAML
is read in `config_document`, and `config_faults` puts faults into words. Called by `cli`, `supervisor` and `app`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sidecar.config import Settings
from sidecar.config_document import read
from sidecar.config_egress import egress_fault
from sidecar.config_faults import ConfigFaults, Fault, dotted, faults_of, keys
from sidecar.config_rules import challenger_faults, settings_faults
from sidecar.config_versions import Challenger

__all__ = ["FILE_LIMIT_BYTES", "ConfigFaults", "Fault", "keys", "load", "read_challenger"]

FILE_LIMIT_BYTES = 1 << 20


def load(path: Path) -> Settings:
    """Reads and checks a configuration file.

    Raises:
        ConfigFaults: with every fault that was found.
    """
    document = read(_text(path))
    faults = [Fault(str(path), r.line, dotted(r.place), r.says) for r in document.remarks]
    if document.complete:
        try:
            settings = Settings.model_validate(document.data)
        except ValidationError as fault:
            faults += faults_of(fault, Settings, document.data, str(path), document.line)
        else:
            found = settings_faults(settings)
            faults += [Fault(str(path), document.line(place), dotted(place), says) for place, says in found]
            if not faults:
                return settings
    raise ConfigFaults(tuple(sorted(faults, key=lambda fault: fault.line)))


def read_challenger(document: Mapping[str, object], settings: Settings) -> Challenger:
    """A challenger that a call describes, by the same rules as one in the file.

    Raises:
        ConfigFaults: with every fault; they have a key, but no file and no line.
    """
    try:
        challenger = Challenger.model_validate(document)
    except ValidationError as fault:
        raise ConfigFaults(tuple(faults_of(fault, Challenger, document))) from None
    found = [Fault("", 0, dotted(place), says) for place, says in challenger_faults(challenger, settings)]
    egress = egress_fault(challenger.url, settings.admin.challenger_hosts)
    if egress is not None:
        found.append(Fault("", 0, "url", egress))
    if found:
        raise ConfigFaults(tuple(found))
    return challenger


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise ConfigFaults((Fault(str(path), 0, "", "there is no such file"),)) from None
    except IsADirectoryError:
        raise ConfigFaults((Fault(str(path), 0, "", "this is a directory; give the file in it"),)) from None
    except OSError as fault:
        reason = (fault.strerror or str(fault)).lower()
        raise ConfigFaults((Fault(str(path), 0, "", f"cannot be read: {reason}"),)) from None
    if len(data) > FILE_LIMIT_BYTES:
        raise ConfigFaults((Fault(str(path), 0, "", "larger than 1 MiB; is it a configuration?"),))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise ConfigFaults((Fault(str(path), line, "", "not UTF-8 text; save the file as UTF-8"),)) from None
