"""What of this service's events is written into the audit log, beside what the kernel's table says.

WRITTEN = [
    written(BookSold, lambda it: Entry(kind="book_sold", by=it.by, workspace_id=it.workspace_id)),
]
"""

from collections.abc import Sequence

from application.kernel.audit import Row

WRITTEN: Sequence[Row] = []
