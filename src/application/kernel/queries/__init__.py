"""What people can ask: for each resource its views and the protocol that answers them.

Views are slotted dataclasses that nothing changes, but not frozen ones: freezing makes the construction of
a row six times as expensive, and a page has a hundred of them.
"""

from dataclasses import dataclass

from application.kernel.queries.audit import AuditQueries
from application.kernel.queries.auth import AuthQueries
from application.kernel.queries.identities import IdentityQueries
from application.kernel.queries.invitations import InvitationQueries
from application.kernel.queries.memberships import MembershipQueries
from application.kernel.queries.users import UserQueries
from application.kernel.queries.workspaces import WorkspaceQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelQueries:
    """What can be asked of every service. An answer is what was committed when it was asked."""

    audit: AuditQueries
    auth: AuthQueries
    users: UserQueries
    identities: IdentityQueries
    workspaces: WorkspaceQueries
    memberships: MembershipQueries
    invitations: InvitationQueries
