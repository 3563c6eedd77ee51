"""How many requests a client may send: what each is counted under, and what its answer says of that.

A request is counted once it is known who sends it: under the user and the route, else under the network
address and the route, so that other ids in a path are no other quota. In a path with a workspace it is
counted under that as well, unless the caller turns out to have no business there. A caller who is refused
because of their credentials is counted under the address, whatever the route (docs/decisions/0042).

    scope["limit_class"]      by which class it was counted; of a refusal, the one that is used up
    scope["limit_refused"]    True where it is refused with 429
    scope["limit_headers"]    RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-11)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from math import ceil
from typing import NoReturn, cast
from uuid import UUID

from fastapi import Request
from starlette.types import Scope

from application.kernel.identity.attempts import network_of
from application.kernel.ports.limits import Charge, Policy, QuotaExceeded, RateLimits, Standing
from entrypoints.kernel.configuration.limits import NONE

DEFAULT = "default"
_FAILED = "login"  # the class by which requests with wrong credentials are counted
_WORKSPACE = "workspace"
_KEPT = 10_000  # addresses, and ids of workspaces, whose one spelling is remembered
_LONGEST_ID = 45  # of an UUID, as urn:uuid:…; what is longer would fill the memory that is for ids


class RequestLimits:
    """The policies of the service's routes, and what counts their requests."""

    def __init__(self, rate_limits: RateLimits, policies: Mapping[str, Policy | None]) -> None:
        """`policies` are those of the classes that routes name, and that of a workspace."""
        self._rate_limits = rate_limits
        self._policies = policies
        self._workspace = policies.get(_WORKSPACE)
        there = [policy for policy in policies.values() if policy is not None]
        self._told = {each.name: (_described(each), _left(each)) for each in there}
        self._network: Callable[[str], str] = lru_cache(_KEPT)(network_of)

    def ensure_known(self, names: Iterable[str]) -> None:
        """Raises TypeError where a route names a class that there is not."""
        if unknown := sorted({*names} - {*self._policies, NONE} | {*names} & {_WORKSPACE}):
            raise TypeError(
                f"Routes name the limits {unknown}: there are {[*self._policies, NONE]}. Add yours to the "
                "default of `rate_limits` in your settings."
            )

    async def count(self, request: Request, name: str, route: str, *, of_workspace: bool) -> None:
        """One more request of a route's class; raises QuotaExceeded, or Unavailable."""
        scope, policy = request.scope, self._policies[name]
        charges: list[Charge] = []
        if policy is not None:
            user: UUID | None = scope.get("user_id")
            who = self._address(scope) if user is None else user.hex
            charges.append(Charge(f"{name}:{who}:{route}", policy))
        if (
            of_workspace
            and self._workspace is not None
            and len(written := scope["path_params"]["workspace_id"]) <= _LONGEST_ID
            and (place := _spelt(written)) is not None
        ):
            charges.append(Charge(f"{_WORKSPACE}:{place}", self._workspace))
            scope["limit_charged"] = charges[-1:]
        if charges:
            await self._charge(scope, charges)

    async def count_failure(self, request: Request) -> None:
        """One more request whose credentials are not good; raises QuotaExceeded, or Unavailable."""
        policy = self._policies.get(_FAILED)
        if policy is not None and "limit_class" not in request.scope:
            await self._charge(request.scope, [Charge(f"failed:{self._address(request.scope)}", policy)])

    async def give_back(self, request: Request) -> None:
        """The caller has no business in the workspace: its members shall not have less for that."""
        charged: list[Charge] | None = request.scope.pop("limit_charged", None)
        if charged is not None:
            await self._rate_limits.give_back(charged)

    async def _charge(self, scope: Scope, charges: Sequence[Charge]) -> None:
        scope["limit_class"] = charges[0].policy.name
        allowed, standings = await self._rate_limits.charge(charges)
        described, form = self._told[charges[0].policy.name]
        left = form % (standings[0].left, ceil(standings[0].seconds))
        for (_, policy), standing in zip(charges[1:], standings[1:], strict=True):
            more, form = self._told[policy.name]
            described = b"%s, %s" % (described, more)
            left = b"%s, %s" % (left, form % (standing.left, ceil(standing.seconds)))
        scope["limit_headers"] = ((b"ratelimit-policy", described), (b"ratelimit", left))
        if not allowed:
            self._refuse(scope, charges, standings)

    def _refuse(self, scope: Scope, charges: Sequence[Charge], standings: Sequence[Standing]) -> NoReturn:
        pairs = zip(charges, standings, strict=True)
        out = [(policy, standing.seconds) for (_, policy), standing in pairs if not standing.left]
        scope["limit_class"] = out[0][0].name
        scope["limit_refused"] = True
        scope.pop("limit_charged", None)
        raise QuotaExceeded(
            [policy for policy, _ in out], retry_after=max(1, *(ceil(seconds) for _, seconds in out))
        )

    def _address(self, scope: Scope) -> str:
        client = scope.get("client")
        return self._network(client[0]) if client else ""


class RouteLimit:
    """The limit of one route, which is asked for once it is known who is calling.

    It is a dependency, too, for routes that are FastAPI's own: `dependencies=[Depends(RouteLimit(…))]`.
    """

    def __init__(self, name: str, *, method: str, path: str) -> None:
        self.name = name
        self._route = f"{method} {path}"
        self.of_workspace = "{workspace_id}" in path

    async def refused(self, request: Request) -> None:
        """The same for a caller who is refused before that: one who is known all the same counts as usual."""
        if "user_id" in request.scope:
            await self(request)
        else:
            await limits_of(request).count_failure(request)

    async def __call__(self, request: Request) -> None:
        """Raises QuotaExceeded, or Unavailable where that cannot be known and its class refuses then."""
        await limits_of(request).count(request, self.name, self._route, of_workspace=self.of_workspace)


def limits_of(request: Request) -> RequestLimits:
    return cast("RequestLimits", request.app.state.provided.limits)


def _described(policy: Policy) -> bytes:
    return b'"%s";q=%d;w=%d' % (policy.name.encode(), policy.quota, policy.window_seconds)


def _left(policy: Policy) -> bytes:
    """What becomes its part of `RateLimit`, with the two numbers that it lacks."""
    return b'"%s";r=%%d;t=%%d' % policy.name.encode()


@lru_cache(_KEPT)
def _spelt(workspace_id: str) -> str | None:
    """The id in one spelling; `None` for what is no id, and is refused for that."""
    try:
        return UUID(workspace_id).hex
    except ValueError:
        return None
