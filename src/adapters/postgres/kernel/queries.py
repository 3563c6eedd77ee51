"""Everything that can be asked, answered by PostgreSQL."""

from adapters.postgres.comments import PostgresCommentQueries
from adapters.postgres.dashboard import PostgresDashboardQueries
from adapters.postgres.kernel.connection.database import Database
from adapters.postgres.kernel.identity.auth import PostgresAuthQueries
from adapters.postgres.kernel.identity.identities import PostgresIdentityQueries
from adapters.postgres.kernel.invitations import PostgresInvitationQueries
from adapters.postgres.kernel.memberships import PostgresMembershipQueries
from adapters.postgres.kernel.users import PostgresUserQueries
from adapters.postgres.kernel.workspaces import PostgresWorkspaceQueries
from adapters.postgres.notifications import PostgresNotificationQueries
from adapters.postgres.tasks import PostgresTaskQueries
from application.kernel.ports import Queries


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
