"""What a field of each type is in each ring: its Python, its column, what clients send, values for tests."""

import json
from dataclasses import dataclass
from uuid import UUID

from builder.spec import Field, Resource, Target, camel

TEXT_MOST = 10_000
WORD_MOST = 60
WORDS_MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value: as Python in the domain, as Python that JSON is made of, and as a view in JSON shows it."""

    python: str
    sent: str
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The source text of a field. `hint` is its type in the domain; what is empty is not there.

    `wrong` are values that are refused, `most` is the longest that is not.
    """

    hint: str
    view: str
    body: str
    column: str
    constants: tuple[str, ...] = ()
    enum: str = ""
    rule: str = ""
    alias: str = ""
    checks: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    first: Value
    second: Value
    wrong: tuple[str, ...] = ()
    most: str = ""
    rows: str
    sorter: str = ""
    filters: tuple[tuple[str, str, str, str], ...] = ()
    default: str | None = None


def kind_of(each: Field, resource: Resource) -> Kind:
    """What the field is, of that resource."""
    if each.type == "enum":
        return _enum(each, f"{resource.entity}{camel(each.name)}")
    if each.target is not None:
        return _ref(each, each.target, resource)
    made = {
        "str": _line,
        "text": _prose,
        "email": _email,
        "url": _url,
        "slug": _slug,
        "int": _int,
        "decimal": _decimal,
        "money": _decimal,
        "bool": _bool,
        "date": _date,
        "datetime": _datetime,
        "json": _json,
        "list": _list,
    }[each.type]
    return made(each)


def _constant(each: Field, what: str) -> str:
    return f"{each.name.upper()}_{what}"


def _or_none(hint: str, each: Field) -> str:
    return f"{hint} | None" if each.nullable else hint


def _default(each: Field, value: str) -> str | None:
    """What it is where nothing is said, as Python; None where something must be."""
    if each.nullable:
        return "None"
    return value if each.default is not None or each.optional else None


def _nullable(each: Field) -> str:
    return ", nullable=True" if each.nullable else ""


def _texts(first: str, second: str) -> tuple[Value, Value]:
    return (
        Value(python=_quoted(first), sent=_quoted(first), shown=_quoted(first)),
        Value(python=_quoted(second), sent=_quoted(second), shown=_quoted(second)),
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _equals(each: Field, bounds: str) -> tuple[tuple[str, str, str, str], ...]:
    """One filter: its name, its type, its sentence, and its condition."""
    declared = f"Annotated[str | None, {bounds}]"
    return (
        (each.name, declared, f"With this {each.label}.", f"== bindparam({_quoted(each.name)}, type_=Text)"),
    )


def _line(each: Field) -> Kind:
    (most,) = each.bounds
    name, bound = each.name, _constant(each, "MOST")
    first, second = (f"{start} {each.label}"[:most].strip() for start in ("First", "Other"))
    values = _texts(first, second)
    unique = "n::text" if most < len(each.label) + 8 else f"'{each.label.capitalize()} ' || n"
    start = f"{each.label.capitalize()} "[: max(most - 4, 0)]  # four figures follow
    many = f"'{start}' || (n / 2 * 7919 % 5000)"
    return Kind(
        hint=_or_none("str", each),
        view=f"Annotated[{_or_none('str', each)}, Example({_quoted(first)})]",
        alias=f"Annotated[str, text(least=1, most={bound}, examples=[{_quoted(first)}])]",
        body=_or_none(camel(name), each),
        column=f'text("{name}"{_nullable(each)})',
        constants=(f"{bound} = {most:_}",),
        rule=f'return line({name}, field="{name}", most={bound})',
        checks=(f'between("{name}", 1, {bound})',),
        first=values[0],
        second=values[1],
        wrong=('""', f'"x" * ({bound} + 1)'),
        most=f'"x" * {bound}',
        rows=unique if each.unique else (many if most >= 4 else "'A'"),
        sorter="by_text",
        filters=_equals(each, f"Length({bound}, least=1)"),
        default=_default(each, _quoted(each.default or "")),
    )


def _prose(each: Field) -> Kind:
    name, bound, least = each.name, _constant(each, "MOST"), 0 if each.optional else 1
    values = _texts(f"The first {each.label}.\nOn two lines.", f"Another {each.label}.")
    lowest = "" if each.optional else "least=1, "
    return Kind(
        hint="str",
        view=f'Annotated[str, Example("A {each.label} of some words.")]',
        alias=f'Annotated[str, text({lowest}most={bound}, examples=["A {each.label} of some words."])]',
        body=camel(name),
        column=f'text("{name}")',
        constants=(f"{bound} = {TEXT_MOST:_}",),
        rule=f'return prose({name}, field="{name}", {lowest}most={bound})',
        checks=(f'between("{name}", {least}, {bound})',),
        first=values[0],
        second=values[1],
        wrong=(f'"x" * ({bound} + 1)', *(() if each.optional else ('""',))),
        most=f'"x" * {bound}',
        rows=f"'{each.label.capitalize()}'",
        default=_default(each, '""'),
    )


def _email(each: Field) -> Kind:
    name = each.name
    values = _texts("ada@example.com", "grace@example.com")
    return Kind(
        hint=_or_none("str", each),
        view=f'Annotated[{_or_none("str", each)}, Example("ada@example.com")]',
        alias='Annotated[str, text(least=1, most=EMAIL_MOST, examples=["ada@example.com"])]',
        body=_or_none(camel(name), each),
        column=f'text("{name}"{_nullable(each)})',
        rule=f'return email_address({name}, field="{name}")',
        checks=(f'between("{name}", 1, EMAIL_MOST)',),
        first=values[0],
        second=values[1],
        wrong=('"nobody"',),
        rows="'person-' || n || '@example.com'",
        sorter="by_text",
        filters=_equals(each, "Length(EMAIL_MOST, least=1)"),
        default=_default(each, '""'),
    )


def _url(each: Field) -> Kind:
    name = each.name
    values = _texts("https://example.com/first", "https://example.com/other?page=2")
    return Kind(
        hint=_or_none("str", each),
        view=f'Annotated[{_or_none("str", each)}, Example("https://example.com/first")]',
        alias='Annotated[str, text(least=1, most=URL_MOST, examples=["https://example.com/first"])]',
        body=_or_none(camel(name), each),
        column=f'text("{name}"{_nullable(each)})',
        rule=f'return web_address({name}, field="{name}")',
        checks=(f'between("{name}", 1, URL_MOST)',),
        first=values[0],
        second=values[1],
        wrong=('"javascript:alert(1)"',),
        rows="'https://example.com/' || n",
        default=_default(each, '""'),
    )


def _slug(each: Field) -> Kind:
    name, bound, pattern = each.name, _constant(each, "MOST"), _constant(each, "PATTERN")
    values = _texts("first-one", "another")
    return Kind(
        hint=_or_none("str", each),
        view=f'Annotated[{_or_none("str", each)}, Example("first-one")]',
        alias=(
            f'Annotated[str, text(least=1, most={bound}, pattern=f"^{{{pattern}}}$", examples=["first-one"])]'
        ),
        body=_or_none(camel(name), each),
        column=f'text("{name}"{_nullable(each)})',
        constants=(f"{bound} = {WORD_MOST}", f'{pattern} = r"[a-z0-9]+(-[a-z0-9]+)*"'),
        rule=(
            f"if len({name}) > {bound} or not re.fullmatch({pattern}, {name}):\n"
            f'    detail = f"It must have 1 to {{{bound}}} lower-case letters, digits and single hyphens."\n'
            f'    raise Invalid(detail, field="{name}")\n'
            f"return {name}"
        ),
        checks=(
            f'between("{name}", 1, {bound})',
            f'CheckConstraint(f"{name} ~ \'^{{{pattern}}}$\'", name="{name}_form")',
        ),
        first=values[0],
        second=values[1],
        wrong=('"Not one"', f'"x" * ({bound} + 1)'),
        most=f'"x" * {bound}',
        rows="'slug-' || n" if each.unique else "'slug-' || (n / 2 * 7919 % 5000)",
        sorter="by_text",
        filters=_equals(each, f"Length({bound}, least=1)"),
        default=_default(each, '""'),
    )


def _int(each: Field) -> Kind:
    least, most = each.bounds
    name, low, high = each.name, _constant(each, "LEAST"), _constant(each, "MOST")
    first, second = (Value(python=text, sent=text, shown=text) for text in (str(most), str(least)))
    spread = min(most - least + 1, 5000)
    return Kind(
        hint=_or_none("int", each),
        view=f"Annotated[{_or_none('int', each)}, Example({most})]",
        alias=f"Annotated[int, whole(least={low}, most={high})]",
        body=_or_none(camel(name), each),
        column=f'number("{name}"{_nullable(each)})',
        constants=(f"{low} = {least:_}", f"{high} = {most:_}"),
        rule=(
            f"if not {low} <= {name} <= {high}:\n"
            f'    raise Invalid(f"It must be a whole number from {{{low}}} to {{{high}}}.", field="{name}")\n'
            f"return {name}"
        ),
        checks=(f'within("{name}", {low}, {high})',),
        first=first,
        second=second,
        wrong=(f"{high} + 1", f"{low} - 1"),
        rows=f"{least} + n" if each.unique else f"{least} + n / 2 * 7919 % {spread}",
        sorter="by_number",
        filters=_range(each, "int", ", type_=Integer"),
        default=_default(each, each.default or ""),
    )


def _range(each: Field, hint: str, sql: str) -> tuple[tuple[str, str, str, str], ...]:
    least, most = f"{each.name}_least", f"{each.name}_most"
    return (
        (least, f"{hint} | None", f"With this {each.label}, or more.", f'>= bindparam("{least}"{sql})'),
        (most, f"{hint} | None", f"With this {each.label}, or less.", f'<= bindparam("{most}"{sql})'),
    )


def _decimal(each: Field) -> Kind:
    digits, places = each.bounds or (14, 2)
    name, money = each.name, each.type == "money"
    one, other = (
        f"{number}.{'0' * (places - 1)}{last}" if places else number
        for number, last in (("1", "5"), ("2", "0"))
    )
    values = (
        Value(python=f'Decimal("{text}")', sent=_quoted(text), shown=_quoted(text)) for text in (one, other)
    )
    first, second = values
    spread = min(10 ** (digits - places), 5000)
    return Kind(
        hint=_or_none("Decimal", each),
        view=f"Annotated[{_or_none('Decimal', each)}, Example({_quoted(one)})]",
        alias="Money" if money else f"Annotated[Decimal, decimal_text({digits}, {places})]",
        body=_or_none(camel(name), each),
        column=f'money("{name}"{_nullable(each)})'
        if money
        else f'decimal("{name}", {digits}, {places}{_nullable(each)})',
        first=first,
        second=second,
        rows=f"(n / 2 * 7919 % {spread})",
        sorter="by_decimal",
        default=_default(each, f'Decimal("{each.default}")'),
        filters=_range(each, "Decimal", ", type_=Numeric"),
    )


def _bool(each: Field) -> Kind:
    name = each.name
    started = each.default != "true"
    first, second = (
        Value(python=str(value), sent=str(value), shown=str(value)) for value in (started, not started)
    )
    return Kind(
        hint=_or_none("bool", each),
        view=_or_none("bool", each),
        body=_or_none("bool", each),
        column=f'flag("{name}"{_nullable(each)})',
        first=first,
        second=second,
        rows="n % 2 = 0",
        sorter="by_flag",
        filters=(
            (name, "bool | None", f"Whether it is {each.label}.", f'== bindparam("{name}", type_=Boolean)'),
        ),
        default=_default(each, str(each.default == "true")),
    )


def _date(each: Field) -> Kind:
    name = each.name
    first = Value(python="date(2026, 11, 30)", sent='"2026-11-30"', shown='"2026-11-30"')
    second = Value(python="date(2027, 1, 31)", sent='"2027-01-31"', shown='"2027-01-31"')
    start, end = f"{name}_from", f"{name}_until"
    return Kind(
        hint=_or_none("date", each),
        view=_or_none("date", each),
        body=_or_none("Day", each),
        column=f'day("{name}"{_nullable(each)})',
        first=first,
        second=second,
        rows="DATE '2026-01-01' + (n / 2 * 7919 % 5000)",
        sorter="by_date",
        filters=(
            (
                start,
                "date | None",
                f"With this {each.label}, or a later one.",
                f'>= bindparam("{start}", type_=Date)',
            ),
            (
                end,
                "date | None",
                f"With this {each.label}, or an earlier one.",
                f'<= bindparam("{end}", type_=Date)',
            ),
        ),
        default=_default(each, ""),
    )


def _datetime(each: Field) -> Kind:
    name = each.name
    first = Value(
        python="datetime(2026, 11, 30, 17, 0, 0, 5, tzinfo=UTC)",
        sent='"2026-11-30T18:00:00.000005+01:00"',
        shown='"2026-11-30T17:00:00.000005Z"',
    )
    second = Value(
        python="datetime(2027, 1, 31, 8, 30, tzinfo=UTC)",
        sent='"2027-01-31T08:30:00Z"',
        shown='"2027-01-31T08:30:00Z"',
    )
    start, end, instant = f"{name}_after", f"{name}_before", ", type_=DateTime(timezone=True)"
    return Kind(
        hint=_or_none("datetime", each),
        view=_or_none("datetime", each),
        body=_or_none("Instant", each),
        column=f'instant("{name}"{_nullable(each)})',
        first=first,
        second=second,
        rows=":now + (n / 2 * 7919 % 5000) * interval '1 minute'",
        sorter="by_time",
        filters=(
            (
                start,
                "datetime | None",
                f"With this {each.label}, or a later one.",
                f'>= bindparam("{start}"{instant})',
            ),
            (end, "datetime | None", f"With an earlier {each.label}.", f'< bindparam("{end}"{instant})'),
        ),
        default=_default(each, ""),
    )


def _enum(each: Field, enum: str) -> Kind:
    name, values = each.name, each.values
    listed = "\n".join(f'    {value.upper()} = "{value}"' for value in values)
    started = values.index(each.default) if each.default else -1
    others = [value for position, value in enumerate(values) if position != started]
    first, second = others[0], others[-1] if len(others) > 1 else values[started]
    array = ", ".join(f"'{value}'" for value in values)
    return Kind(
        hint=_or_none(enum, each),
        view=_or_none(enum, each),
        body=_or_none(enum, each),
        column=f'text("{name}"{_nullable(each)})',
        enum=f"class {enum}(StrEnum):\n{listed}",
        checks=(f'one_of("{name}", {enum})',),
        first=_member(enum, first),
        second=_member(enum, second),
        rows=f"(ARRAY[{array}])[1 + n % {len(values)}]",
        filters=(
            (
                name,
                f"Annotated[Sequence[{enum}], Length(20)]",
                f"With any of these values of {each.label}.",
                f'== any_(bindparam("{name}", type_=ARRAY(Text)))',
            ),
        ),
        default=_default(each, f"{enum}.{(each.default or '').upper()}"),
    )


def _ref(each: Field, target: Target, resource: Resource) -> Kind:
    name, t, id = each.name, target.plural, f"{target.entity}Id"
    place = [field.name for field, _ in resource.references].index(name)
    first, second = (
        Value(python=f"{id}(UUID(int={number}))", sent=f'"{UUID(int=number)}"', shown=f'"{UUID(int=number)}"')
        for number in (2 * place + 1, 2 * place + 2)
    )
    return Kind(
        hint=_or_none(id, each),
        view=_or_none(id, each),
        body=_or_none(id, each),
        column=f'Column("{name}", Uuid, nullable={each.nullable})',
        checks=(f'ForeignKeyConstraint(["workspace_id", "{name}"], [{t}.c.workspace_id, {t}.c.id])',),
        indexes=(f'Index(None, "workspace_id", "{name}")',),
        first=first,
        second=second,
        rows=f"(SELECT one.id FROM {t} AS one\n                WHERE one.workspace_id = :workspace LIMIT 1)",
        filters=((name, f"{id} | None", f"With this {each.label}.", f'== bindparam("{name}", type_=Uuid)'),),
        default=_default(each, ""),
    )


def _member(enum: str, value: str) -> Value:
    return Value(python=f"{enum}.{value.upper()}", sent=f'"{value}"', shown=f'"{value}"')


def _json(each: Field) -> Kind:
    name = each.name
    first, second = (
        Value(python=text, sent=text, shown=text) for text in ('{"colour": "red"}', '{"sizes": [1, 2]}')
    )
    return Kind(
        hint=_or_none("dict[str, object]", each),
        view=f"Annotated[{_or_none('dict[str, object]', each)}, Example({{'colour': 'red'}})]",
        body=_or_none("JsonObject", each),
        column=f'document("{name}"{_nullable(each)})',
        first=first,
        second=second,
        rows="'{}'::jsonb",
        default=_default(each, ""),
    )


def _list(each: Field) -> Kind:
    name, bound, longest = each.name, _constant(each, "MOST"), _constant(each, "LONGEST")
    return Kind(
        hint="tuple[str, ...]",
        view='list[Annotated[str, Example("one")]]',
        alias=(
            f'Annotated[tuple[Annotated[str, text(least=1, most={longest}, examples=["one"])], ...], '
            f'Field(json_schema_extra={{"maxItems": {bound}}})]'
        ),
        body=camel(name),
        column=f'Column("{name}", ARRAY(Text), nullable=False)',
        constants=(f"{bound} = {WORDS_MOST}", f"{longest} = {WORD_MOST}"),
        rule=(
            f"if len({name}) > {bound}:\n"
            f'    raise Invalid(f"There must be at most {{{bound}}}.", field="{name}")\n'
            f'return tuple(line(each, field="{name}", most={longest}) for each in {name})'
        ),
        checks=(f'CheckConstraint(f"cardinality({name}) <= {{{bound}}}", name="{name}_count")',),
        first=Value(python='("one", "two")', sent='["one", "two"]', shown='["one", "two"]'),
        second=Value(python='("three",)', sent='["three"]', shown='["three"]'),
        wrong=(f'("x",) * ({bound} + 1)', f'("x" * ({longest} + 1),)'),
        most=f'("x",) * {bound}',
        rows="'{}'::text[]",
        default=_default(each, "()"),
    )
