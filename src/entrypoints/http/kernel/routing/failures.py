"""What the log says of a request that failed: enough to repeat it, and no value of it."""

from typing import Any
from urllib.parse import parse_qsl

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel
from starlette.types import Scope

from entrypoints.kernel.telemetry.exceptions import sqlstate_of
from entrypoints.kernel.telemetry.statements import failed_statement

PARAMETERS_MOST = 50


def failure(scope: Scope, error: BaseException) -> dict[str, Any]:
    """The route, the names of the parameters that were given, the statement that failed, and its SQLSTATE."""
    route = scope.get("route")
    return {
        "method": scope["method"],
        "route": None if route is None else route.path,
        "parameters": _given(scope, getattr(route, "dependant", None)),
        "statement": failed_statement(),
        "sqlstate": sqlstate_of(error),
    }


def _given(scope: Scope, dependant: Dependant | None) -> list[str]:
    """Those of the path, and those of the query that the route knows: any other name may be a value."""
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=None)[
        :PARAMETERS_MOST
    ]
    known = set() if dependant is None else set(_names(dependant))
    return [*scope.get("path_params", ()), *sorted({name for name, _ in query} & known)]


def _names(dependant: Dependant) -> list[str]:
    found: list[str] = []
    for parameter in dependant.query_params:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            found += model.model_fields
        else:
            found.append(parameter.alias)
    return found
