"""Where to report a vulnerability (RFC 9116); there where SECURITY_CONTACT says so.

/.well-known/security.txt
"""

from datetime import UTC, datetime, time, timedelta

from fastapi import APIRouter, Request

from entrypoints.http.kernel.document.documentation import PUBLIC
from entrypoints.http.kernel.routing.answers import Answer
from entrypoints.http.kernel.routing.dependencies import Now, settings_of
from entrypoints.kernel.settings import KernelSettings

PATH = "/.well-known/security.txt"
GOOD_FOR = timedelta(
    days=90
)  # a year at most (RFC 9116 §2.5.5); who runs the service keeps its settings true
_HEADERS = ((b"cache-control", b"public, max-age=300"),)

router = APIRouter(include_in_schema=False)


@router.get(PATH, openapi_extra=PUBLIC)
async def get_security_txt(request: Request, now: Now) -> Answer:
    """Whom to tell."""
    body = security_txt(settings_of(request), at=now).encode()
    return Answer(200, body, media_type=b"text/plain; charset=utf-8", headers=_HEADERS)


def security_txt(settings: KernelSettings, *, at: datetime) -> str:
    """The file as it is on this day, in UTC."""
    expires = datetime.combine(at.astimezone(UTC).date() + GOOD_FOR, time(), UTC)
    fields = [
        *(("Contact", contact) for contact in settings.security_contact),
        ("Expires", f"{expires:%Y-%m-%dT%H:%M:%SZ}"),
        ("Policy", settings.security_policy),
        # The addresses in it have to be https (§2.5.2).
        ("Canonical", f"{settings.public_url}{PATH}" if settings.public_url.startswith("https:") else ""),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields if value)
