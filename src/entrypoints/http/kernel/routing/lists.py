"""What can be asked of a list over HTTP, made of what its queries declare.

    query: Annotated[ListQuery[BookFilter, BookSortKey], Query()]

has a parameter for each field of `BookFilter`, with its name, its type, its bounds and its sentence, and a
parameter `sort` for the names of `BookSortKey`. A route reads `query.where`, a `BookFilter`, `query.sort` and
`query.page`.
"""

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import date, datetime
from decimal import Decimal
from functools import cache, reduce
from inspect import cleandoc, getsource
from itertools import pairwise
from operator import or_
from textwrap import dedent
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    TypeAliasType,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import AfterValidator, BeforeValidator, Field, create_model
from pydantic_core import PydanticCustomError

from application.kernel.paging import Sort, sorts_of
from domain.kernel.errors import Invalid
from domain.kernel.text import prose
from entrypoints.http.kernel.routing.inputs import Day, Instant, PageQuery, decimal_text, sort_by

_AS_SENT: Mapping[object, Any] = {
    datetime: Instant,
    date: Day,
    Decimal: Annotated[Decimal, decimal_text(38, 6)],  # of whatever column
}
"""What is read strictly, where pydantic would take more than one way of writing it."""

_CONTROLS = re.compile(r"[\x01-\x1f\x7f-\x9f]")
_NORMALISED_MOST = 1 << 20  # code points, more than a request line has; each filter says how many it takes


class ListQuery[Filter, Key: str](PageQuery):
    """One page of a list that can be filtered and sorted.

    `ListQuery[BookFilter, Never]` can only be filtered, `ListQuery[None, BookSortKey]` only sorted.
    """

    filtered_by: ClassVar[type[Any] | None] = None
    sorted_by: ClassVar[TypeAliasType | None] = None
    filters: ClassVar[Collection[str]] = ()

    if TYPE_CHECKING:

        @property
        def where(self) -> Filter: ...

        @property
        def sort(self) -> Sequence[Sort[Key]]: ...

    else:

        @property
        def where(self) -> object:
            given, filters = self.__dict__, self.filters
            asked = {name: given[name] for name in self.model_fields_set if name in filters}
            return self.filtered_by and self.filtered_by(**asked)

        def __class_getitem__(cls, declared: tuple[Any, Any]) -> type[PageQuery]:
            return _model(*declared)


@cache
def _model(filtered_by: Any, sorted_by: Any) -> type[PageQuery]:  # noqa: ANN401 (None and Never are no types)
    """Raises TypeError for a filter that has no default or no sentence."""
    parameters = {} if filtered_by is None else _filters(filtered_by)
    filters, name = frozenset(parameters), getattr(filtered_by or sorted_by, "__name__", "")
    alias = sorted_by if isinstance(sorted_by, TypeAliasType) else None
    if alias is not None:
        _, default = sorts_of(alias)
        text = ",".join(f"{'-' * each.descending}{each.key}" for each in default)
        sentence = f"Names separated by commas; a minus before a name means downwards. Default: `{text}`."
        sent = Annotated[tuple[Sort[Any], ...], sort_by(alias)]
        parameters["sort"] = sent, Field(default=default, description=sentence)
    model: Any = create_model(f"{name}Query", __base__=ListQuery, **parameters)
    model.filtered_by, model.sorted_by, model.filters = filtered_by, alias, filters
    return cast("type[PageQuery]", model)


def _filters(declared: type[Any]) -> dict[str, Any]:
    """A parameter for each field of the dataclass."""
    types, sentences = get_type_hints(declared, include_extras=True), _sentences(declared)
    found: dict[str, Any] = {}
    for field in fields(declared):
        if field.default is MISSING or field.name not in sentences:
            raise TypeError(f"{declared.__name__}.{field.name} needs a default, and a docstring below it.")
        sent, (plain, *_) = _as_sent(types[field.name]), _annotated(types[field.name])
        if str in get_args(plain):  # read before it is measured, and None has no length
            sent = Annotated[sent, BeforeValidator(_read_texts), AfterValidator(_none_for_empty)]
        found[field.name] = sent, Field(default=field.default, description=sentences[field.name])
    return found


def _as_sent(declared: Any) -> Any:  # noqa: ANN401 (a type, or what stands for one)
    """What pydantic reads from a query as the declared type."""
    plain, *bounds = _annotated(declared)
    if bounds:
        lengths = (Field(min_length=each.least or None, max_length=each.most) for each in bounds)
        return Annotated[_as_sent(plain), *lengths]
    if get_origin(plain) is Sequence:
        return tuple[_as_sent(get_args(plain)[0]), ...]  # type: ignore[misc]
    if get_origin(plain) in {Union, UnionType}:
        return reduce(or_, (_as_sent(option) for option in get_args(plain)))
    return _AS_SENT.get(plain, plain)


def _annotated(declared: Any) -> Sequence[Any]:  # noqa: ANN401 (a type, or what stands for one)
    """A type, and then what `Annotated` says of it."""
    return get_args(declared) if get_origin(declared) is Annotated else (declared,)


def _read_texts(given: object) -> object:
    """The text, or each of several, as the texts of bodies are read, which it is looked for in.

    What no text there has, control characters, is nothing to look for: it parts words like a space.
    """
    if isinstance(given, list):
        return [_read_texts(each) for each in given]
    if not isinstance(given, str) or "\0" in given:  # which is refused in every text, by other words
        return given
    try:
        return prose(_CONTROLS.sub(" ", given), field="", most=_NORMALISED_MOST)
    except Invalid as refused:
        raise PydanticCustomError("invalid", "{detail}", {"detail": refused.detail}) from refused


def _none_for_empty(text: str | None) -> str | None:
    """A search for nothing is none; a filter with a least length refuses it before."""
    return text or None


def _sentences(declared: type[Any]) -> dict[str, str]:
    """The docstring below each field, which is there for people only: Python itself drops it."""
    (tree,) = ast.parse(dedent(getsource(declared))).body
    found: dict[str, str] = {}
    for field, below in pairwise(ast.iter_child_nodes(tree)):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = cleandoc(text)
    return found
