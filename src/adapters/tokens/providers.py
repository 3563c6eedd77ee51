"""What settings say of one external provider, held against its preset before the service starts."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from adapters.tokens.claims import Path
from adapters.tokens.presets import ALGORITHMS, AT_JWT, PRESETS, Marker, Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One issuer that is trusted, to the letter, and what its tokens have to be.

    Without `clients` a token of any of the provider's clients will do. `role_claims`, `scope_claim` and
    `email_claim` override where the preset looks (whether an address was verified says its neighbour of the
    same name with `_verified`); `role_client` and `project` fill `{client}` (else: each
    audience) and `{id}` in the preset's own paths. Lifetimes are in seconds, lengths in bytes. `ca_file` has
    the certificates, in PEM, of authorities beside the world's. With
    `admit_machines` a client that acts for no person is a user here. Raises
    ValueError, with the remedy, for what contradicts itself.
    """

    issuer: str
    preset: str = "rfc9068"
    audiences: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    required_scopes: frozenset[str] = frozenset()
    algorithms: frozenset[str] | None = None
    token_types: tuple[str | None, ...] | None = None
    token_marker: Marker | None = None
    role_claims: tuple[Path, ...] | None = None
    scope_claim: Path | None = None
    email_claim: Path = ("email",)
    role_client: str | None = None
    project: str | None = None
    longest_lifetime: float = 86_400
    longest_token: int | None = None
    discovery_url: str | None = None
    ca_file: str | None = None
    admit_machines: bool = False

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(
                f"there is no preset {self.preset!r}: choose one of {', '.join(sorted(PRESETS))}"
            )
        if unknown := (self.algorithms or frozenset()) - ALGORITHMS:
            raise ValueError(
                f"{', '.join(sorted(unknown))} is no algorithm to verify with a public key: "
                f"choose among {', '.join(sorted(ALGORITHMS))}"
            )
        self._check_marker()
        if self.algorithms is not None and not self.algorithms:
            raise ValueError("no algorithm is left: name at least one, or leave the preset's")
        if self.kind.access_tokens and not self.audiences and not self.kind.audience_optional:
            raise ValueError(
                f"the preset {self.preset} needs an audience: without one, "
                "a token for any other service would be good here"
            )
        if self.kind.audience_optional and not (self.audiences or self.clients):
            raise ValueError(
                f"tokens of the preset {self.preset} need not name an audience: "
                "list the clients (for clerk: the origins) whose tokens are for this service"
            )
        for path in (*self.role_paths, self.scope_path or (), self.email_claim):
            if path[:1] and path[0] in self.kind.never:
                raise ValueError(f"{path[0]} is what users may edit themselves: look at another claim")
        if not self.email_claim:
            raise ValueError("the path to the e-mail address is empty: name a claim, or leave it out")
        if "?" in self.issuer:
            raise ValueError(f"the issuer {self.issuer!r} has a query: RFC 8414 has issuers without one")

    def _check_marker(self) -> None:
        if self.kind.access_tokens and set(self.types) != {AT_JWT} and not self.marker.is_positive:
            raise ValueError(
                "nothing marks an access token: name a claim that its ID tokens do not have, or only at+jwt "
                "among the types"
            )

    @property
    def kind(self) -> Preset:
        return PRESETS[self.preset]

    @property
    def allowed_algorithms(self) -> frozenset[str]:
        allowed = frozenset(self.kind.algorithms) if self.algorithms is None else self.algorithms
        # RFC 9864 §4.1.2: the same under two names.
        return allowed | {"EdDSA", "Ed25519"} if allowed & {"EdDSA", "Ed25519"} else allowed

    @property
    def types(self) -> tuple[str | None, ...]:
        """The acceptable values of the header `typ`, as a preset has them."""
        return self.kind.types if self.token_types is None else self.token_types

    @property
    def marker(self) -> Marker:
        """What tells its access tokens from its ID tokens."""
        return self.kind.marker if self.token_marker is None else self.token_marker

    @property
    def token_limit(self) -> int:
        """The longest token, in bytes."""
        return self.kind.longest_token if self.longest_token is None else self.longest_token

    @property
    def scope_path(self) -> Path | None:
        return self.kind.scope if self.scope_claim is None else self.scope_claim

    @property
    def scope_fallback(self) -> Path | None:
        return self.kind.scope_fallback if self.scope_claim is None else None

    @property
    def role_paths(self) -> tuple[Path, ...]:
        if self.role_claims is not None:
            return self.role_claims
        clients = sorted(self.audiences) if self.role_client is None else [self.role_client]
        paths: list[Path] = []
        for path in self.kind.roles:
            if any("{client}" in name for name in path):
                paths += [tuple(name.replace("{client}", client) for name in path) for client in clients]
            elif all("{id}" not in name for name in path):
                paths.append(path)
            elif self.project is not None:
                paths.append(tuple(name.replace("{id}", self.project) for name in path))
        return tuple(paths)

    @property
    def tenant(self) -> str:
        """The first part of the issuer's path, where providers with many tenants have the tenant."""
        return urlsplit(self.issuer).path.strip("/").split("/")[0]

    @property
    def subject_issuer(self) -> str:
        """In whose words its subjects are, the `issuer` of a Proof: the same for v1 and v2 of one tenant."""
        return (self.kind.subject_issuer or self.issuer).replace("{tenant}", self.tenant)

    @property
    def discovery_urls(self) -> tuple[str, ...]:
        """Where to ask, in this order: OpenID Connect Discovery §4, then RFC 8414 §3.1."""
        if self.discovery_url is not None:
            return (self.discovery_url,)
        at = urlsplit(self.issuer)
        path = at.path.rstrip("/")
        if self.kind.discovery is not None:
            return (self.kind.discovery.replace("{tenant}", self.tenant),)
        root = f"{at.scheme}://{at.netloc}"
        return (
            f"{root}{path}/.well-known/openid-configuration",
            f"{root}/.well-known/oauth-authorization-server{path}",
        )


def check_address(address: str, *, allow_loopback_http: bool) -> None:
    """Raises ValueError for an address whose answer anybody on the way could have written.

    Plain http is for this machine alone, and there only where `allow_loopback_http`.
    """
    at = urlsplit(address)
    if (
        not at.hostname
        or at.username is not None
        or at.fragment
        or any(letter.isspace() for letter in address)
    ):
        raise ValueError(f"{address!r} is no plain address: write one like https://login.example.com")
    if at.scheme != "https" and not (at.scheme == "http" and allow_loopback_http and _is_loopback(at)):
        raise ValueError(f"{address!r} has to begin with https://")


def _is_loopback(at: SplitResult) -> bool:
    if at.hostname == "localhost":
        return True
    try:
        return ip_address(at.hostname or "").is_loopback
    except ValueError:
        return False
