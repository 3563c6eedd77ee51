"""Demo data for a new database: an administrator, a colleague and a workspace, and what a service adds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from application.kernel.commands.invitations import accept_invitation, invite
from application.kernel.commands.users import grant_role
from application.kernel.commands.workspaces import create_workspace
from application.kernel.identity.addresses import prove_email
from application.kernel.identity.password_login import register_user
from application.kernel.identity.secret_tokens import fingerprint, new_secret
from application.kernel.ports.callers import Caller
from application.kernel.ports.sessions import PasswordHasher
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.errors import Conflict
from domain.kernel.memberships import Role
from domain.kernel.users import GlobalRole
from domain.kernel.workspaces import WorkspaceId

DEMO_EMAIL = "demo@example.com"
DEMO_PASSWORD = "look around as long as you like"  # noqa: S105 (printed for everybody to use)
COLLEAGUE_EMAIL = "colleague@example.com"


@dataclass(frozen=True, slots=True)
class Demo:
    """Who and what is there already when a service adds its own."""

    owner: Caller
    colleague: Caller
    workspace_id: WorkspaceId


type Fill[U: KernelUnitOfWork] = Callable[[U, Demo], Awaitable[None]]
"""Adds a service's own demo data, in the same transaction."""


async def seed[U: KernelUnitOfWork](run: Runner[U], passwords: PasswordHasher, fill: Fill[U]) -> bool:
    """Stores all of it in one transaction; False where it, or a part of it, is there already."""
    password_hash = await passwords.hash(DEMO_PASSWORD)

    async def store(uow: U) -> None:
        await fill(uow, await _store(uow, password_hash=password_hash))

    try:
        await run(store)
    except Conflict:
        return False
    return True


async def _store(uow: KernelUnitOfWork, *, password_hash: str) -> Demo:
    demo = await _person(uow, DEMO_EMAIL, "Demo User", password_hash)
    await grant_role(uow, account=DEMO_EMAIL, role=GlobalRole.ADMIN)
    colleague = await _person(uow, COLLEAGUE_EMAIL, "Colleague", password_hash)
    workspace = await create_workspace(uow, demo, name="Demo", slug="demo")
    invitation = await invite(uow, demo, workspace.id, email=COLLEAGUE_EMAIL, role=Role.MEMBER)
    secret = new_secret()  # nobody is there to read a mail
    await uow.invitations.set_token(invitation, token_hash=fingerprint(secret))
    await accept_invitation(uow, colleague, token=secret)
    return Demo(demo, colleague, workspace.id)


async def _person(uow: KernelUnitOfWork, email: str, display_name: str, password_hash: str) -> Caller:
    user = await register_user(uow, email=email, display_name=display_name, password_hash=password_hash)
    await prove_email(uow, user)  # nobody is there to answer a mail
    return Caller(user_id=user.id, issuer="", subject=str(user.id))
