"""The export of an account: what is in it, whose it is, and how much of it."""

from datetime import timedelta

from application.kernel.export import Export
from application.kernel.paging import Page, PageRequest
from application.kernel.unit_of_work import Begin
from domain.kernel.memberships import Role
from domain.kernel.users import UserId, UserNotFound
from kernel.specimen.service import Queries, UnitOfWork
from kernel.world.builders import (
    NOW,
    a_credential,
    a_link,
    a_membership,
    a_session,
    a_team,
    a_user,
    a_user_id,
    a_workspace,
    address_of,
    an_invitation,
    reauthenticated,
    store,
)
from kernel.world.refusals import refused

FAR = NOW + timedelta(days=36_500)


async def test_it_has_what_is_the_user_s_and_nothing_of_others(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    team, other = a_team(), a_team()
    ada = team.users[Role.MEMBER]
    link, session = a_link(user_id=ada.id), a_session(user_id=ada.id, expires_at=FAR)
    to_ada = an_invitation(
        workspace_id=other.workspace.id, email=address_of(ada), invited_by=other.owner.user_id
    )
    await store(
        begin,
        *team.aggregates,
        *other.aggregates,
        link,
        session,
        a_credential(id=ada.id, password_hash="$secret"),
        a_link(user_id=team.owner.user_id),
        a_session(user_id=team.owner.user_id, expires_at=FAR),
        to_ada,
        an_invitation(workspace_id=team.workspace.id, invited_by=ada.id),
    )
    asked: list[UserId] = []

    async def songs(ask: Queries, user_id: UserId, page: PageRequest) -> Page[str]:
        asked.append(user_id)
        return Page(["Loom"], None, None)

    export = Export(queries, lambda: NOW, {"songs": songs})
    document = await export.of(reauthenticated(ada.id, session_id=session.id))
    assert (document.exported_at, document.most, document.incomplete) == (NOW, 1000, [])
    assert (document.profile.id, document.profile.email) == (ada.id, ada.email)
    assert [each.subject for each in document.identities] == [link.subject]
    assert [(each.id, each.current) for each in document.sessions] == [(session.id, True)]
    assert [(each.name, each.role) for each in document.workspaces] == [(team.workspace.name, Role.MEMBER)]
    assert [each.id for each in document.invitations] == [to_ada.id]
    assert (document.more, asked) == ({"songs": ["Loom"]}, [ada.id])
    assert "$secret" not in repr(document)


async def test_each_part_has_so_many_at_most_and_says_whether_there_is_more(
    begin: Begin[UnitOfWork], queries: Queries
) -> None:
    ada, workspaces = a_user(), [a_workspace() for _ in range(2)]
    await store(
        begin,
        ada,
        *workspaces,
        *(a_membership(workspace_id=each.id, user_id=ada.id) for each in workspaces),
        *(a_link(user_id=ada.id) for _ in range(3)),
    )

    async def songs(ask: Queries, user_id: UserId, page: PageRequest) -> Page[int]:
        return Page(list(range(page.limit)), "more", None)

    document = await Export(queries, lambda: NOW, {"songs": songs}, most=2).of(reauthenticated(ada.id))
    assert (document.most, len(document.identities), len(document.workspaces)) == (2, 2, 2)
    assert (document.incomplete, document.more) == (["identities", "songs"], {"songs": [0, 1]})


async def test_who_is_no_user_has_nothing(queries: Queries) -> None:
    with refused(UserNotFound):
        await Export(queries, lambda: NOW, {}).of(reauthenticated(a_user_id()))
