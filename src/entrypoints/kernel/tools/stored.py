"""The OpenAPI documents in `openapi/`, one a version: what clients were promised, held against what is so."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from entrypoints.kernel.tools.compatibility import Breach, breaches

type Documents = Mapping[str, Mapping[str, Any]]
"""By the name of the version."""


class Broken(Exception):
    """Clients that were written against the stored documents would break."""


class Outdated(Exception):
    """The stored documents are not those that are served."""


class Ambiguous(Exception):
    """Two classes have one name, and so have none in the documents."""


def text_of(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write(documents: Documents, folder: Path, *, breaking: bool = False) -> list[Path]:
    """The files that were written, or Broken where that is not allowed; a version that is gone is broken.

    Raises Ambiguous whatever is allowed.
    """
    _ensure_unambiguous(documents)
    if not breaking and (report := "\n".join(_report(documents, folder))):
        raise Broken(report)
    for path in folder.glob("v*.json"):
        if path.stem not in documents:
            path.unlink()
    changed = list(_outdated(documents, folder))
    for path in changed:
        path.write_text(text_of(documents[path.stem]), "utf-8")
    return changed


def check(documents: Documents, folder: Path) -> None:
    """Raises Ambiguous, Broken, or Outdated where nothing is worse than that."""
    _ensure_unambiguous(documents)
    if report := "\n".join(_report(documents, folder)):
        raise Broken(report)
    if outdated := [path.name for path in _outdated(documents, folder)]:
        raise Outdated(", ".join(outdated))


def _ensure_unambiguous(documents: Documents) -> None:
    """pydantic calls classes of one name by their modules as well, `domain__books__Status`, all of them."""
    told: list[str] = []
    for document in documents.values():
        same: dict[str, list[Sequence[str]]] = {}
        for schema in document.get("components", {}).get("schemas", {}):
            *module, name = schema.split("__")
            if module:
                same.setdefault(name, []).append(module)
        for name, modules in same.items():
            classes = " and ".join(".".join([*module, name]) for module in modules)
            better = " or ".join(_singular(module[-1]) + name for module in modules)
            told.append(f"{classes} have one name: call one of them {better}.")
    if told:
        raise Ambiguous("\n".join(dict.fromkeys(told)))


def _singular(module: str) -> str:
    return "".join(word.title() for word in module.split("_")).removesuffix("s")


def _outdated(documents: Documents, folder: Path) -> Iterator[Path]:
    for version, document in documents.items():
        path = folder / f"{version}.json"
        if not path.exists() or path.read_text("utf-8") != text_of(document):
            yield path


def _report(documents: Documents, folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("v*.json")):
        if path.stem not in documents:
            yield f"{path.name}: the version is gone."
        else:
            before, after = path.read_text("utf-8"), text_of(documents[path.stem])
            yield from _lines(breaches(json.loads(before), json.loads(after)))


def _lines(found: Iterable[Breach]) -> Iterator[str]:
    """What many operations share, such as a schema, is told once."""
    places: dict[str, list[str]] = {}
    for breach in found:
        places.setdefault(breach.what, []).append(breach.where)
    for what, where in places.items():
        yield f"{where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}: {what}"
