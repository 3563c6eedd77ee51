"""The user who is logged in."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.commands import users as commands
from application.queries.users import Profile
from domain.users import DISPLAY_NAME_MOST, EMAIL_MOST, User
from entrypoints.http.dependencies import Actor, Ask, Run
from entrypoints.http.inputs import strict, text
from entrypoints.http.routing import Router

router = Router(tag="users")


@strict
class ProfilePatch(TypedDict, total=False):
    """What of a profile is to change."""

    display_name: Annotated[str, text(least=1, most=DISPLAY_NAME_MOST, examples=["Ada Lovelace"])]
    email: Annotated[str, text(most=EMAIL_MOST, format="email", examples=["ada@example.com"])]


@router.get("/me")
async def get_profile(actor: Actor, ask: Ask) -> Profile:
    """Everybody may see their own profile."""
    return await ask.users.profile(actor.user_id)


@router.patch("/me", use_case=commands.edit_profile, response_model=Profile)
async def edit_profile(actor: Actor, run: Run, body: Annotated[ProfilePatch, Body()]) -> User:
    return await run(commands.edit_profile, actor, **body)
