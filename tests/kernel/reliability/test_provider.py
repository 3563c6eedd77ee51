"""An OpenID provider that goes wrong in every way, while requests go on."""

import asyncio

from kernel.providers.services import a_service, trusting
from kernel.providers.tampering import Wrong, a_provider_behind_a_proxy
from kernel.providers.test_outages import ANEW, KEYS, load_on, with_an_unknown_key
from kernel.reliability.conftest import Share, Tell


async def test_valid_requests_do_not_notice_what_is_wrong_with_the_provider(
    empty_database_url: str, tell: Tell, share: Share
) -> None:
    asked, served, slowest = 0, 0, 0.0
    async with (
        a_provider_behind_a_proxy() as (provider, proxy),
        a_service(empty_database_url, trusting(provider) | ANEW) as service,
    ):
        known = await provider.machine_token()
        assert (await service.get("/v1/me", known)).status_code == 200
        for wrong in Wrong:
            proxy.wrong = Wrong.NOTHING
            good = await provider.machine_token()
            proxy.wrong, before = wrong, proxy.asked[KEYS]
            async with load_on(service, {"good": [good]}, most_requests=1_000_000) as load:
                # Whoever makes up keys has the service ask for them.
                await asyncio.gather(*(service.get("/v1/me", with_an_unknown_key(good)) for _ in range(20)))
                await asyncio.sleep(share(0.5))
                await load.some_more()
            assert {status for _, status in load.answers} == {200}
            asked = max(asked, proxy.asked[KEYS] - before)
            served += load.answers.total()
            slowest = max(slowest, load.slowest)
    assert slowest < 5
    tell(
        f"provider wrong in {len(Wrong)} ways",
        f"all of {served} requests with known keys served, the slowest in {slowest:.2f} s; "
        f"at most {asked} requests for keys on 20 made-up ones",
    )
