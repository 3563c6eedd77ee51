"""What this service adds to the export of an account: for each of its parts, who answers.

Each part is a list of what the user has made or is in charge of. What is another person's is no part of it.
"""

from collections.abc import Mapping

from application.kernel.export import ExportPart
from application.queries import Queries

EXPORTS: Mapping[str, ExportPart[Queries]] = {
    "tasks": lambda ask, user_id, page: ask.tasks.of_user(user_id, page),
    "comments": lambda ask, user_id, page: ask.comments.of_author(user_id, page),
}
