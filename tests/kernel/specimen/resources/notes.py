"""Notes: all that the suites need to know of them."""

from application.kernel.paging import Sort
from kernel.specimen.queries.notes import NoteView
from kernel.specimen.resources.work_orders import FILLED
from kernel.world.resources import Listed

FILL = {
    "notes": """
        INSERT INTO notes (id, work_order_id, workspace_id, author_id, body, created_at, version)
        SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', :workspace, :owner, 'loom', :at, 1
        FROM generate_series(1, 10000) AS n
    """,
}
LISTS: dict[str, Listed[NoteView]] = {
    "notes": Listed(
        table="notes",
        ask=lambda world, _, page: world.ask.notes.page(world.team.viewer.user_id, FILLED, page),
        sorts={"created_at": lambda view: view.created_at},
        fixed=Sort("created_at"),
    ),
}
