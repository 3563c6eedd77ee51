"""What this service is called, where its files lie, and the version of the API that the kernel is in."""

import tomllib
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[3]
_FILE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
_PROJECT = _FILE["project"]
SERVICE_NAME: str = _PROJECT["name"]
_OWN = _FILE["tool"].get("service", {})
SERVICE_TITLE: str = _OWN.get("title", SERVICE_NAME.replace("-", " ").title())
SERVICE_PORT: int = _OWN.get("port", 8000)  # the default of PORT
SERVICE_VERSION: str = _PROJECT["version"]
SERVICE_DESCRIPTION: str = _PROJECT["description"]
SERVICE_LICENSE: str = _PROJECT["license"]  # by its SPDX identifier
V1: Final = "/v1"
"""Below it are the kernel's routes: the version in which everything that is not overridden stays."""
