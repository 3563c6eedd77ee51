"""The user who is logged in, and all users for those who look after the service."""

from typing import Annotated, TypedDict

from fastapi import Body, Query
from pydantic import Field

from application.kernel.admission import NotPermitted
from application.kernel.commands import users as commands
from application.kernel.export import AccountExport, Export
from application.kernel.paging import Page
from application.kernel.ports.callers import Reauthenticated
from application.kernel.queries.users import Profile, UserFilter, UserSortKey, UserView
from domain.kernel.identity.credentials import TooManyAttempts
from domain.kernel.memberships import LastOwner
from domain.kernel.users import (
    DISPLAY_NAME_MOST,
    EMAIL_MOST,
    AccountDeleted,
    GlobalRole,
    OwnAccount,
    User,
    UserId,
    UserNotFound,
)
from entrypoints.http.kernel.document.examples import INSTANT
from entrypoints.http.kernel.routing.dependencies import (
    Actor,
    Ask,
    Exports,
    FromPeer,
    Login,
    ReauthenticatedActor,
    ReauthenticatingActor,
    Run,
)
from entrypoints.http.kernel.routing.inputs import strict, text
from entrypoints.http.kernel.routing.lists import ListQuery
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="users")


@strict
class ProfilePatch(TypedDict, total=False):
    """What of a profile is to change."""

    display_name: Annotated[str, text(least=1, most=DISPLAY_NAME_MOST, examples=["Ada Lovelace"])]
    email: Annotated[str, text(most=EMAIL_MOST, format="email", examples=["ada@example.com"])]


@strict
class RolesChange(TypedDict):
    """What a user is to be in the whole service: these roles and no others."""

    roles: Annotated[tuple[GlobalRole, ...], Field(max_length=20)]


@router.get("/me", refuses=(UserNotFound,))
async def get_profile(actor: Actor, ask: Ask) -> Profile:
    """Everybody may see their own profile."""
    return await ask.users.profile(actor.user_id)


@router.patch(
    "/me",
    use_case=commands.edit_profile,
    changes=User,
    response_model=Profile,
    refuses=(UserNotFound, TooManyAttempts),
)
async def edit_profile(
    actor: ReauthenticatingActor,
    run: Run,
    login: Login,
    peer: FromPeer,
    body: Annotated[ProfilePatch, Body()],
) -> User:
    if "email" in body and isinstance(actor, Reauthenticated):  # others change none, and use up no count
        await login.count_change_of_address(peer, actor, email=body["email"])
    return await run(commands.edit_profile, actor, **body)


@router.get(
    "/me/export", use_case=Export.of, file_name="account.json", refuses=(UserNotFound,), limit="expensive"
)
async def get_account_export(actor: ReauthenticatedActor, export: Exports) -> AccountExport:
    return await export.of(actor)


@router.delete(
    "/me",
    use_case=commands.delete_own_account,
    changes=User,
    refuses=(UserNotFound, LastOwner),
)
async def delete_own_account(actor: ReauthenticatedActor, run: Run) -> None:
    await run(commands.delete_own_account, actor)


@router.get("/admin/users", refuses=(NotPermitted,))
async def list_users(
    actor: Actor, ask: Ask, query: Annotated[ListQuery[UserFilter, UserSortKey], Query()]
) -> Page[UserView]:
    """Support and administrators may list all users."""
    return await ask.users.page(actor, query.where, query.sort, query.page)


@router.get("/admin/users/{user_id}", refuses=(NotPermitted,))
async def get_user(user_id: UserId, actor: Actor, ask: Ask) -> UserView:
    """Support and administrators may see any user."""
    return await ask.users.get(actor, user_id)


@router.patch(
    "/admin/users/{user_id}",
    use_case=commands.change_roles,
    changes=User,
    response_model=UserView,
    refuses=(NotPermitted, OwnAccount, AccountDeleted),
)
async def change_roles(user_id: UserId, actor: Actor, run: Run, body: Annotated[RolesChange, Body()]) -> User:
    return await run(commands.change_roles, actor, user_id, **body)


@router.post(
    "/admin/users/{user_id}/suspension",
    use_case=commands.suspend_user,
    example={"suspended_at": INSTANT},
    changes=User,
    response_model=UserView,
    refuses=(NotPermitted, OwnAccount, AccountDeleted),
)
async def suspend_user(user_id: UserId, actor: Actor, run: Run) -> User:
    return await run(commands.suspend_user, actor, user_id)


@router.delete(
    "/admin/users/{user_id}/suspension",
    use_case=commands.restore_user,
    changes=User,
    refuses=(NotPermitted, OwnAccount, AccountDeleted),
)
async def restore_user(user_id: UserId, actor: Actor, run: Run) -> None:
    await run(commands.restore_user, actor, user_id)


@router.delete(
    "/admin/users/{user_id}/sessions",
    use_case=commands.end_sessions_of,
    changes=User,
    refuses=(NotPermitted,),
)
async def end_sessions_of(user_id: UserId, actor: Actor, run: Run) -> None:
    await run(commands.end_sessions_of, actor, user_id)
