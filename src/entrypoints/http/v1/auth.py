"""Registering, logging in and refreshing, with the built-in provider."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.commands.auth import PasswordLogin, TokenPair
from application.queries.users import Profile
from domain.auth import PASSWORD_LEAST, PASSWORD_MOST
from domain.users import DISPLAY_NAME_MOST, EMAIL_MOST, User
from entrypoints.http.dependencies import Login
from entrypoints.http.inputs import strict, text
from entrypoints.http.routing import Router

router = Router(tag="auth")

_PHRASE = "correct horse battery staple"
EmailText = Annotated[str, text(most=EMAIL_MOST, format="email", examples=["ada@example.com"])]


@strict
class Registration(TypedDict):
    """Who wants an account."""

    email: EmailText
    password: Annotated[str, text(least=PASSWORD_LEAST, most=PASSWORD_MOST, examples=[_PHRASE])]
    """Anything long enough: several words make a good one."""
    display_name: Annotated[str, text(least=1, most=DISPLAY_NAME_MOST, examples=["Ada Lovelace"])]


@strict
class Credentials(TypedDict):
    """Who wants to log in."""

    email: EmailText
    password: Annotated[str, text(most=PASSWORD_MOST, examples=[_PHRASE])]


@strict
class Refreshing(TypedDict):
    """The refresh token of the answer before."""

    refresh_token: str


@router.post(
    "/auth/register",
    use_case=PasswordLogin.register,
    response_model=Profile,
    location="/v1/me",
    public=True,
)
async def register(login: Login, body: Annotated[Registration, Body()]) -> User:
    return await login.register(**body)


@router.post("/auth/login", use_case=PasswordLogin.log_in, public=True)
async def log_in(login: Login, body: Annotated[Credentials, Body()]) -> TokenPair:
    return await login.log_in(**body)


@router.post("/auth/refresh", use_case=PasswordLogin.refresh, public=True)
async def refresh(login: Login, body: Annotated[Refreshing, Body()]) -> TokenPair:
    return await login.refresh(**body)
