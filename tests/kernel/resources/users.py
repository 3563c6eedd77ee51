"""Users: all that the suites need to know of them."""

from application.kernel.queries.users import UserFilter, UserView
from domain.kernel.users import GlobalRole
from kernel.world.builders import a_caller
from kernel.world.resources import Listed

FILL = {
    "users": """
        INSERT INTO users (id, email, display_name, created_at, version)
        SELECT gen_random_uuid(), 'user-' || lpad(n::text, 5, '0') || '@example.com', 'User ' || n, :at, 1
        FROM generate_series(1, 10000) AS n
    """,
}
LISTS: dict[str, Listed[UserView]] = {
    "users": Listed(
        table="users",
        ask=lambda world, sort, page: world.ask.users.page(
            a_caller(roles=frozenset({GlobalRole.SUPPORT})), UserFilter(), sort, page
        ),
        sorts={
            "created_at": lambda view: view.created_at,
            "email": lambda view: view.email or "",
        },
    ),
}
