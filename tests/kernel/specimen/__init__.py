"""What the kernel is proved on: work orders and notes, which nothing outside of tests/kernel knows."""

from application.queries import Queries

_OWN = {"work_orders", "notes"}

# It joins the service's tables, collections and problems, where every name is there once.
if taken := _OWN & Queries.__dataclass_fields__.keys():
    raise ImportError(
        f"This service has {' and '.join(sorted(taken))}, as the specimen has that the kernel is tested on: "
        "call this service's own by another name (docs/decisions/0022-the-seam.md)."
    )
