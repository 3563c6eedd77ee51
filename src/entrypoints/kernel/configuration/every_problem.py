"""Everything that is wrong with the settings, in one run: each by itself, and what disagrees with another.

pydantic judges settings together only once each is right by itself. So where some are not, the others are
judged again beside stand-ins: values that are right, and say as little as possible. For a word that is none
of the choices, such as ENVIRONMENT=prod, the nearest choice stands in: the second run would have that.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from secrets import token_urlsafe
from typing import Any, Final, Literal, cast, get_args, get_origin

from pydantic import Field, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticUndefined
from pydantic_settings import BaseSettings

from entrypoints.kernel.configuration.files import Unreadable, without_values
from entrypoints.kernel.configuration.providers import readable_providers

_SIMILAR: Final = 0.6

_FITTING: Mapping[str, object] = {
    "auth_access_token_seconds": 10,  # the least: what is not longer than it is wrong beside every value
    "app_url": "https://stand-in.invalid",
    "database_direct_url": SecretStr("postgresql://stand-in.invalid/stand-in"),
    "database_url": SecretStr("postgresql://stand-in.invalid/stand-in"),
    "mail_from": "stand-in@stand-in.invalid",
    "oidc_roles": "",
    "oidc_token_marker": '{"require": ["stand-in"]}',
    "public_url": "https://stand-in.invalid",
    "security_contact": ("https://stand-in.invalid",),
    "trusted_proxies": ("none",),
}
"""Stand-ins for settings whose default says that they are not set."""


class UnreadableValueError(ValueError):
    """The value of a setting cannot be read; the message is a sentence of its own."""


def everything_wrong(
    kind: type[BaseSettings],
    defaults: type[BaseSettings],
    given: dict[str, Any],
    found: ValidationError | None,
) -> ValidationError:
    """The error with all that is wrong with what is given: with what was found by now, and what it hid.

    `defaults` are the settings of this kind that no source but their arguments has a say in.
    """
    errors: list[ErrorDetails | InitErrorDetails] = list(
        _unreadable(given) if found is None else found.errors()
    )
    failed = {str(error["loc"][0]) for error in errors if error.get("loc")}
    if failed:
        errors += _hidden(kind, defaults, given, failed)
    order = list(kind.model_fields)
    for error in errors:
        if not error.get("loc"):  # with values of settings that are right by themselves
            error["ctx"] = {"error": ValueError(without_values(str(error["ctx"]["error"]), given))}
    errors.sort(key=lambda error: _place(error, order))
    return ValidationError.from_exception_data(
        kind.__name__, [_anew(error) for error in errors], hide_input=True
    )


def unreadable_of(given: Mapping[str, object]) -> bool:
    """Whether a value among them cannot be read."""
    return any(isinstance(value, Unreadable) for value in given.values())


def _unreadable(given: Mapping[str, object]) -> Iterator[InitErrorDetails]:
    for name, value in given.items():
        if isinstance(value, Unreadable):
            yield _error(UnreadableValueError(value.sentence), name)


def _hidden(
    kind: type[BaseSettings], defaults: type[BaseSettings], given: Mapping[str, Any], failed: set[str]
) -> Iterator[ErrorDetails | InitErrorDetails]:
    """What is wrong beside the settings that are."""
    judged: dict[str, Any] = {}
    meant = set[str]()
    for name in failed & kind.model_fields.keys():
        field = kind.model_fields[name]
        if choice := _meant(field, given.get(name)):
            meant.add(name)
        value = choice or _stand_in(name, field, given)
        judged[name] = (Any, Field(default=value, validate_default=False))
    beside = cast("type[BaseSettings]", create_model(kind.__name__, __base__=defaults, **judged))
    try:
        beside(**{name: value for name, value in given.items() if name not in failed})
    except ValidationError as further:
        for error in further.errors():
            if error["loc"]:
                yield error
                continue
            lines = str(error["ctx"]["error"]).splitlines()
            wrong = [line for line in lines if line.split()[0].strip(":,").lower() not in failed - meant]
            if wrong:
                yield _error(ValueError("\n".join(wrong)))
    except Exception:  # noqa: BLE001 (a service's own rule may not expect a stand-in, and what was found counts)
        return


def _meant(field: FieldInfo, value: object) -> str | None:
    """The choice that was meant by a word that is none."""
    if get_origin(field.annotation) is not Literal or not isinstance(value, str) or not value.strip():
        return None
    word, choices = value.strip().lower(), [str(choice) for choice in get_args(field.annotation)]
    begun = [choice for choice in choices if choice.startswith(word) or word.startswith(choice)]
    return next(iter(begun or get_close_matches(word, choices, 1, _SIMILAR)), None)


def _stand_in(name: str, field: FieldInfo, given: Mapping[str, Any]) -> object:
    fitting = dict(_FITTING)
    fitting["auth_secret"] = SecretStr(token_urlsafe(32))
    fitting["oidc_more_providers"] = tuple(readable_providers(given.get("oidc_more_providers")))
    if given.get("oidc_issuer") or given.get("auth_trust_local"):
        fitting["auth_provider"] = "oidc"
    if given.get("smtp_host") or _in_production(given):
        fitting["mailer"] = "smtp"
    if name in fitting:
        return fitting[name]
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is not PydanticUndefined and default not in ("", SecretStr("")):
        return default
    # What is wrong is set, and whether it is set is what the others ask.
    return SecretStr("stand-in") if field.annotation is SecretStr else "stand-in"


def _in_production(given: Mapping[str, Any]) -> bool:
    return str(given.get("environment", "")).strip().lower().startswith("prod")


def _error(error: ValueError, name: str | None = None) -> InitErrorDetails:
    return {
        "type": "value_error",
        "loc": () if name is None else (name,),
        "input": None,
        "ctx": {"error": error},
    }


def _anew(error: ErrorDetails | InitErrorDetails) -> InitErrorDetails:
    return {
        "type": error["type"],
        "loc": error.get("loc", ()),
        "input": error["input"],
        "ctx": error.get("ctx", {}),
    }


def _place(error: ErrorDetails | InitErrorDetails, order: list[str]) -> int:
    """By the order of the settings, and behind them what several disagree on."""
    name = str(error["loc"][0]) if error.get("loc") else ""
    return order.index(name) if name in order else len(order)
