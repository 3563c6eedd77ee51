"""Something to look at in a new database: an administrator, a colleague, a workspace, tasks, comments."""

from datetime import timedelta

from application.commands.comments import add_comment
from application.commands.tasks import cancel_task, complete_task, create_task, start_task
from application.kernel.commands.invitations import accept_invitation, invite
from application.kernel.commands.users import grant_role
from application.kernel.commands.workspaces import create_workspace
from application.kernel.identity.password_login import register_user
from application.kernel.ports import Identity, PasswordHasher, UnitOfWork
from application.kernel.run import Runner
from domain.kernel.errors import Conflict
from domain.kernel.memberships import Role
from domain.kernel.users import GlobalRole
from domain.tasks import Priority

DEMO_EMAIL = "demo@example.com"
DEMO_PASSWORD = "look around as long as you like"  # noqa: S105 (printed for everybody to use)
COLLEAGUE_EMAIL = "colleague@example.com"


async def seed(run: Runner, passwords: PasswordHasher) -> bool:
    """Stores all of it in one transaction; False where it, or a part of it, is there already."""
    password_hash = await passwords.hash(DEMO_PASSWORD)
    try:
        await run(_store, password_hash=password_hash)
    except Conflict:
        return False
    return True


async def _store(uow: UnitOfWork, *, password_hash: str) -> None:
    demo = await _person(uow, DEMO_EMAIL, "Demo User", password_hash)
    await grant_role(uow, email=DEMO_EMAIL, role=GlobalRole.ADMIN)
    colleague = await _person(uow, COLLEAGUE_EMAIL, "Colleague", password_hash)
    workspace = await create_workspace(uow, demo, name="Demo", slug="demo")
    invitation = await invite(uow, demo, workspace.id, email=COLLEAGUE_EMAIL, role=Role.MEMBER)
    await accept_invitation(uow, colleague, token=invitation.token)

    read = await create_task(uow, demo, workspace.id, title="Read the README", priority=Priority.HIGH)
    await complete_task(uow, demo, read.id)
    rename = await create_task(
        uow,
        colleague,
        workspace.id,
        title="Give the service its own name",
        description="It stands in pyproject.toml and nowhere else.",
        due_at=uow.now + timedelta(days=1),
        assignee_id=demo.user_id,
        labels=("fork",),
    )
    await add_comment(uow, colleague, rename.id, body="One line, or so they say.")
    await start_task(uow, demo, rename.id)
    replace = await create_task(
        uow,
        demo,
        workspace.id,
        title="Replace tasks and comments by what the service is about",
        priority=Priority.URGENT,
        due_at=uow.now + timedelta(days=7),
        assignee_id=colleague.user_id,
        labels=("fork", "design"),
    )
    await add_comment(uow, demo, replace.id, body="The kernel knows nothing of them, so they can go.")
    await add_comment(uow, colleague, replace.id, body="I will keep them until ours pass the same tests.")
    rewrite = await create_task(uow, demo, workspace.id, title="Rewrite it in another framework")
    await cancel_task(uow, colleague, rewrite.id)


async def _person(uow: UnitOfWork, email: str, display_name: str, password_hash: str) -> Identity:
    user = await register_user(uow, email=email, display_name=display_name, password_hash=password_hash)
    await uow.users.save(user.verify_email(at=uow.now))  # nobody is there to answer a mail
    return Identity(user_id=user.id, issuer="", subject=str(user.id))
