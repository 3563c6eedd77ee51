"""The checks that use cases make before anything else."""

from collections.abc import Collection

from application.kernel.permissions import MANAGE_MEMBERS, Permission, ServicePermission
from application.kernel.ports.callers import Caller, Reauthenticated
from application.kernel.ports.tenancy import Standing
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.errors import DomainError, Forbidden, NotFound
from domain.kernel.identity.credentials import ReauthenticationRequired
from domain.kernel.memberships import Role, may_grant
from domain.kernel.workspaces import WorkspaceArchived, WorkspaceId, WorkspaceNotFound


class NotPermitted(Forbidden):
    """Your role does not permit this."""


NOT_ADMITTED: tuple[type[DomainError], ...] = (NotPermitted, WorkspaceArchived)
"""How `admit` refuses a member."""


def require(caller: Caller, permission: ServicePermission) -> None:
    """For what concerns the whole service: one of the caller's global roles must have `permission`."""
    if caller.roles.isdisjoint(permission.roles):
        raise NotPermitted(f"You lack the permission {permission.name}.")


def ensure_reauthenticated(caller: Caller) -> Reauthenticated:
    """The same caller, for what changes a way in; raises ReauthenticationRequired without a fresh proof."""
    if not isinstance(caller, Reauthenticated):
        raise ReauthenticationRequired(
            "Send the `token` of `POST /v1/auth/reauthentication` as the header `Reauthentication-Token`; "
            "who has no password logs in at the provider once more."
        )
    return caller


def grantable(role: Role | None) -> Collection[Role]:
    """The roles that a member with `role` may give to others; none without the right to manage members."""
    if role not in MANAGE_MEMBERS.roles:
        return ()
    return [given for given in Role if may_grant(role, given)]


def permit(role: Role, permission: Permission) -> None:
    """For what concerns a workspace: the role there must have `permission`; raises NotPermitted."""
    if role not in permission.roles:
        raise NotPermitted(f"The role {role} lacks the permission {permission.name}.")


async def stand(
    uow: KernelUnitOfWork,
    caller: Caller,
    workspace_id: WorkspaceId,
    *,
    locked: bool = False,
    otherwise: type[NotFound] = WorkspaceNotFound,
) -> Standing:
    """The caller's standing; for those who are no members, the workspace and its contents are not found.

    If `locked`, it cannot change before the transaction ends. Raises `otherwise`.
    """
    ask = uow.memberships.lock_standing if locked else uow.memberships.standing
    standing = await ask(workspace_id, caller.user_id)
    if standing is None:
        raise otherwise
    return standing


async def admit(
    uow: KernelUnitOfWork,
    caller: Caller,
    workspace_id: WorkspaceId,
    permission: Permission,
    *,
    archived_too: bool = False,
    locked: bool = False,
    otherwise: type[NotFound] = WorkspaceNotFound,
) -> Role:
    """The caller's role, if it has `permission`; an archived workspace can only be read.

    If `locked`, the role cannot change before the transaction ends: for what ends with it. Raises
    NotPermitted, WorkspaceArchived, and `otherwise` where the caller is no member.
    """
    standing = await stand(uow, caller, workspace_id, locked=locked, otherwise=otherwise)
    permit(standing.role, permission)
    if standing.archived and not archived_too:
        raise WorkspaceArchived("Owners and admins can restore it.")
    return standing.role
