"""The providers' accounts with which a user can log in."""

from typing import Annotated, TypedDict

from fastapi import Body

from application.kernel.identity import identities as commands
from application.kernel.identity.accounts import Linking
from application.kernel.paging import Page
from application.kernel.queries.identities import LinkView
from domain.kernel.identity.identities import LastWayIn, Link, LinkedElsewhere, LinkId, NothingToLink
from entrypoints.http.kernel.routing.dependencies import Actor, Ask, Links, ReauthenticatedActor, Run
from entrypoints.http.kernel.routing.inputs import Paging, strict
from entrypoints.http.kernel.routing.routes import Router

router = Router(tag="identities")


@strict
class NewLink(TypedDict):
    """Proof that an account of a provider is the caller's."""

    token: str
    """An access token that the provider has issued for this API."""


@router.post(
    "/me/identities",
    use_case=Linking.link,
    unkeyed="to link it again is no error",
    response_model=LinkView,
    location="/me/identities/{id}",
    refuses=(LinkedElsewhere, NothingToLink),
)
async def link_identity(actor: ReauthenticatedActor, links: Links, body: Annotated[NewLink, Body()]) -> Link:
    return await links.link(actor, **body)


@router.get("/me/identities")
async def list_identities(actor: Actor, ask: Ask, query: Paging) -> Page[LinkView]:
    """Everybody may list their own, in the order in which they were linked."""
    return await ask.identities.page(actor.user_id, query.page)


@router.get("/me/identities/{link_id}")
async def get_identity(link_id: LinkId, actor: Actor, ask: Ask) -> LinkView:
    """Everybody may see their own."""
    return await ask.identities.get(actor.user_id, link_id)


@router.delete(
    "/me/identities/{link_id}", use_case=commands.unlink_identity, changes=Link, refuses=(LastWayIn,)
)
async def unlink_identity(link_id: LinkId, actor: ReauthenticatedActor, run: Run) -> None:
    await run(commands.unlink_identity, actor, link_id)
