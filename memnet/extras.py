"""Packages that only some commands need: the extras of pyproject.toml."""

from importlib import import_module
from types import ModuleType


def require(package: str, *, extra: str, purpose: str) -> ModuleType:
    """The imported `package`; ValueError, with the extra that installs it for this `purpose`, where it is missing."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ValueError(f"{purpose} needs {package}: run `pip install 'memnet[{extra}]'`") from error
