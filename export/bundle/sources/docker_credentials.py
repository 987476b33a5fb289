"""Docker credentials: who we are to a registry, from the file that `docker login` and `oras login` leave.

Looked for as the tools do: REGISTRY_AUTH_FILE, then DOCKER_CONFIG/config.json, then ~/.docker/config.json.
Kubernetes' secrets of the type kubernetes.io/dockerconfigjson are such files. Helpers of credentials
(`credsStore`, `credHelpers`), which are programs, are not run.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.errors import ConfigurationError

_DOCKER_HUB = {"docker.io", "index.docker.io", "registry-1.docker.io"}


class _Entry(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    auth: str = ""
    username: str = ""
    password: str = ""


class _Config(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    auths: dict[str, _Entry] = {}


def docker_credentials(registry: str, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """User name and password for `registry` (a host, with its port), or None.

    Raises:
        ConfigurationError: the file cannot be read.

    """
    file = _file(environment)
    if file is None:
        return None
    try:
        entries = _Config.model_validate_json(file.read_bytes()).auths
    except (OSError, ValidationError) as error:
        raise ConfigurationError(f"{file}, of credentials for registries, cannot be read: {error}") from error
    for name, entry in entries.items():
        if _host(name) == _host(registry):
            return _pair(file, name, entry)
    return None


def _file(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get("REGISTRY_AUTH_FILE"):
        return Path(named)
    folder = environment.get("DOCKER_CONFIG") or Path(environment.get("HOME", "/"), ".docker")
    file = Path(folder, "config.json")
    return file if file.is_file() else None


def _host(name: str) -> str:
    host = name.partition("://")[2] or name
    host = host.partition("/")[0].lower()
    return "docker.io" if host in _DOCKER_HUB else host


def _pair(file: Path, name: str, entry: _Entry) -> tuple[str, str] | None:
    if not entry.auth:
        return (entry.username, entry.password) if entry.username else None
    try:
        user, found, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        found = ""
    if not found:
        raise ConfigurationError(f"{file}: auth of {name} is not the base64 of user:password")
    return user, password.rstrip("\0")
