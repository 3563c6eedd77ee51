"""The providers' accounts with which a user can log in."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.accounts import Linking
from application.commands import identities as commands
from application.paging import Page
from application.queries.identities import LinkView
from domain.identities import Link, LinkId
from entrypoints.http.dependencies import Actor, Ask, Links, Run
from entrypoints.http.inputs import Paging, strict
from entrypoints.http.routing import Router

router = Router(tag="identities")


@strict
class NewLink(TypedDict):
    """Proof that an account of a provider is the caller's."""

    token: str
    """An access token that the provider has issued for this API."""


@router.post(
    "/me/identities", use_case=Linking.link, response_model=LinkView, location="/v1/me/identities/{id}"
)
async def link_identity(actor: Actor, links: Links, body: Annotated[NewLink, Body()]) -> Link:
    return await links.link(actor, **body)


@router.get("/me/identities")
async def list_identities(actor: Actor, ask: Ask, query: Paging) -> Page[LinkView]:
    """Everybody may list their own, in the order in which they were linked."""
    return await ask.identities.page(actor.user_id, query.page)


@router.delete("/me/identities/{link_id}", use_case=commands.unlink_identity)
async def unlink_identity(link_id: LinkId, actor: Actor, run: Run) -> None:
    await run(commands.unlink_identity, actor, link_id)
