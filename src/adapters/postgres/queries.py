"""Everything that can be asked, answered by PostgreSQL."""

from adapters.postgres.auth import PostgresAuthQueries
from adapters.postgres.comments import PostgresCommentQueries
from adapters.postgres.dashboard import PostgresDashboardQueries
from adapters.postgres.database import Database
from adapters.postgres.identities import PostgresIdentityQueries
from adapters.postgres.invitations import PostgresInvitationQueries
from adapters.postgres.memberships import PostgresMembershipQueries
from adapters.postgres.notifications import PostgresNotificationQueries
from adapters.postgres.tasks import PostgresTaskQueries
from adapters.postgres.users import PostgresUserQueries
from adapters.postgres.workspaces import PostgresWorkspaceQueries
from application.ports import Queries


def postgres_queries(database: Database) -> Queries:
    return Queries(
        auth=PostgresAuthQueries(database),
        users=PostgresUserQueries(database),
        identities=PostgresIdentityQueries(database),
        workspaces=PostgresWorkspaceQueries(database),
        memberships=PostgresMembershipQueries(database),
        invitations=PostgresInvitationQueries(database),
        tasks=PostgresTaskQueries(database),
        comments=PostgresCommentQueries(database),
        dashboard=PostgresDashboardQueries(database),
        notifications=PostgresNotificationQueries(database),
    )
