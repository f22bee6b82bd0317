"""Every error this plugin raises.

```
mlflow.exceptions.MlflowException
└── WorkspaceError
    ├── InvalidWorkspaceUri        also ValueError
    ├── InvalidConfig              also ValueError
    ├── ConfigNotFound             also FileNotFoundError
    ├── WorkspaceNotFound
    ├── WorkspaceConflict
    ├── BackendUnavailable         also ConnectionError
    ├── BackendRefused             also PermissionError
    └── UnsupportedSchema
```

They subclass `MlflowException`, so code written for MLflow catches them and an MLflow server
answers with the right status. A message says what was tried, where, and the next command; it never
holds a secret, because MLflow may put it into an HTTP response.
"""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    INVALID_STATE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)

__all__ = [
    "BackendRefused",
    "BackendUnavailable",
    "ConfigNotFound",
    "InvalidConfig",
    "InvalidWorkspaceUri",
    "UnsupportedSchema",
    "WorkspaceConflict",
    "WorkspaceError",
    "WorkspaceNotFound",
]


class WorkspaceError(MlflowException):
    """Base of all errors of this plugin."""

    code = INVALID_STATE

    def __init__(self, message: str) -> None:
        super().__init__(message, error_code=self.code)


class InvalidWorkspaceUri(WorkspaceError, ValueError):
    """A workspace URI or a workspace name breaks the grammar."""

    code = INVALID_PARAMETER_VALUE


class InvalidConfig(WorkspaceError, ValueError):
    """A config.json was found and cannot be used."""

    code = INVALID_PARAMETER_VALUE


class ConfigNotFound(WorkspaceError, FileNotFoundError):
    """`ws:` was used and no config.json is in reach."""

    code = RESOURCE_DOES_NOT_EXIST

    def __str__(self) -> str:
        # FileNotFoundError would print an (errno, text) tuple.
        return str(self.message)


class WorkspaceNotFound(WorkspaceError):
    """The workspace that the URI names does not exist, or was deleted while it was open."""

    code = RESOURCE_DOES_NOT_EXIST


class WorkspaceConflict(WorkspaceError):
    """Two settings name two different workspaces."""

    code = INVALID_PARAMETER_VALUE


class BackendUnavailable(WorkspaceError, ConnectionError):
    """The database cannot be reached or opened now; trying again later may help."""

    code = TEMPORARILY_UNAVAILABLE

    def __str__(self) -> str:
        return str(self.message)


class BackendRefused(WorkspaceError, PermissionError):
    """The workspace is there, and this user may not do that to it."""

    code = PERMISSION_DENIED

    def __str__(self) -> str:
        return str(self.message)


class UnsupportedSchema(WorkspaceError):
    """The database is not MLflow's, or it is of another MLflow version."""

    code = INVALID_STATE
