"""What this service's endpoints may ask for beside what the kernel offers."""

from typing import Annotated

from fastapi import Depends

from application.kernel.run import Runner
from application.queries import Queries
from application.unit_of_work import UnitOfWork
from entrypoints.http.kernel.routing.dependencies import given

Run = Annotated[Runner[UnitOfWork], Depends(given("run"))]
"""Runs a use case in a transaction."""

Ask = Annotated[Queries, Depends(given("queries"))]
"""Answers questions."""
