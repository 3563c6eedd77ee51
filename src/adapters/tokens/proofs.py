"""From the claims of a good token to what they say of its bearer, in the places where its preset has it."""

from collections.abc import Mapping
from typing import Any

from adapters.tokens.claims import Path, authentication, claim_at, instant, text
from adapters.tokens.compact import BadTokenError
from adapters.tokens.presets import Machine, Marker, Subject
from adapters.tokens.providers import Provider
from application.kernel.ports.callers import Claims

LONGEST_EMAIL = 254  # RFC 5321 §4.5.3.1.3, as erratum 1690 has it


def check_marker(claims: Mapping[str, Any], marker: Marker) -> None:
    """Raises BadTokenError for a token of another kind than the marker's."""
    kind = "another kind of token"
    for name, value in marker.equals:
        if type(claims.get(name)) is not type(value) or claims[name] != value:
            raise BadTokenError(kind, came=f"{name} {claims.get(name)!r}", wanted=f"{name} {value!r}")
    for name in marker.require:
        if name not in claims:
            raise BadTokenError(kind, came=f"no {name}", wanted=name)
    if marker.require_one and not any(name in claims for name in marker.require_one):
        raise BadTokenError(kind, came="none of them", wanted=marker.require_one)
    for name in marker.forbid:
        if name in claims:
            raise BadTokenError(kind, came=name, wanted=f"no {name}")
    if marker.audience_beside_client and _is_for_its_client_alone(claims, marker.require_one):
        raise BadTokenError(kind, came="its client as its only audience", wanted="an audience beside it")


def _is_for_its_client_alone(claims: Mapping[str, Any], clients: tuple[str, ...]) -> bool:
    """As an ID token is (OpenID Connect Core §2)."""
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    own = [claims.get(name) for name in clients]
    return isinstance(named, list) and bool(named) and all(one in own for one in named)


def check_person(claims: Mapping[str, Any], provider: Provider) -> None:
    """Raises BadTokenError for the token of a client that acts for no person, unless settings admit them."""
    if provider.admit_machines:
        return
    kind, subject = provider.kind, claims.get("sub")
    paths = (kind.client, kind.client_fallback)
    own = any(path and subject == claim_at(claims, path) for path in paths)  # RFC 9068 §2.2
    if own or any(_is_of_machine(claims, sign) for sign in kind.machines):
        raise BadTokenError(
            "a client that acts for no person", wanted="a person, or OIDC_ADMIT_MACHINES=true"
        )


def _is_of_machine(claims: Mapping[str, Any], sign: Machine) -> bool:
    if sign.absent or sign.claim not in claims:
        return sign.absent and sign.claim not in claims
    value = claims[sign.claim]
    if not isinstance(value, str):
        return False
    if sign.equals is not None:
        return value == sign.equals
    return value.startswith(sign.begins) and value.endswith(sign.ends)


def read_client(claims: Mapping[str, Any], provider: Provider) -> str | None:
    """The client that the token was issued to; raises BadTokenError where settings allow others alone."""
    paths = (provider.kind.client, provider.kind.client_fallback)
    client = next((found for path in paths if path and (found := text(claim_at(claims, path)))), None)
    if provider.clients and client not in provider.clients:
        raise BadTokenError("of another client", came=client, wanted=provider.clients)
    return client


def read_scopes(claims: Mapping[str, Any], provider: Provider) -> frozenset[str]:
    """One text with spaces (RFC 8693 §4.2), or a list; raises BadTokenError where one is missing."""
    paths = (provider.scope_path, provider.scope_fallback)
    found = (claim_at(claims, path) for path in paths if path)
    value = next((value for value in found if value is not None), None)
    scopes = frozenset(_texts(value.split(" ") if isinstance(value, str) else value))
    if missing := provider.required_scopes - scopes:
        raise BadTokenError(f"without the scope {min(missing)}", came=scopes, wanted=provider.required_scopes)
    return scopes


def read_roles(claims: Mapping[str, Any], provider: Provider) -> frozenset[str]:
    """Everything that the role paths lead to: a text, a list of them, or the names of an object's members."""
    roles: set[str] = set()
    for path in provider.role_paths:
        value = claim_at(claims, path)
        if isinstance(value, str):
            roles.update(_texts([value]))
        elif isinstance(value, list) or (isinstance(value, dict) and provider.kind.role_objects):
            roles.update(_texts(list(value)))
    return frozenset(roles)


def roles_left_out(claims: Mapping[str, Any], paths: tuple[Path, ...]) -> bool:
    """Whether the provider says where to ask for roles that the token had no room for (OIDC Core §5.6.2)."""
    elsewhere = claims.get("_claim_names")
    return isinstance(elsewhere, dict) and any(path[0] in elsewhere for path in paths if path)


def read_proof(
    claims: Mapping[str, Any],
    provider: Provider,
    *,
    subject: Subject,
    expires_at: float,
    client: str | None,
    scopes: frozenset[str],
) -> Claims:
    """Raises BadTokenError for a token that names no user, or another provider's people."""
    *around, last = provider.email_claim
    email = text(claim_at(claims, provider.email_claim), LONGEST_EMAIL)
    issued_at = instant(claims, "iat")
    return Claims(
        issuer=provider.subject_issuer,
        subject=_subject(claims, provider, subject),
        issued_at=issued_at,
        expires_at=expires_at,
        client=client,
        scopes=scopes,
        roles=read_roles(claims, provider),
        email=email,
        # Its neighbour speaks for this address alone; and the text "true" is no statement.
        email_verified=email is not None and claim_at(claims, (*around, f"{last}_verified")) is True,
        name=text(claims.get("name")),
        authenticated_at=authentication(claims, issued_at=issued_at),
    )


def _subject(claims: Mapping[str, Any], provider: Provider, subject: Subject) -> str:
    if text(claims.get("sub")) is None:
        raise BadTokenError("the subject is no text that can be stored")
    name = text(claims.get(subject.claim))
    if subject.machine is not None and subject.claim not in claims:
        name = text(claims["sub"]) if claims["sub"] == claims.get(subject.machine) else None
    if name is None:
        raise BadTokenError(f"{subject.claim} is no text that can be stored")
    if subject.tenant is not None and claims.get(subject.tenant) != provider.tenant:
        raise BadTokenError("of another tenant", came=claims.get(subject.tenant), wanted=provider.tenant)
    return name


def _texts(values: object) -> list[str]:
    if not isinstance(values, list):
        return []
    return [found for value in values if (found := text(value)) is not None]
