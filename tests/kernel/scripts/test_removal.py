"""`make resource-remove`, `make example-remove`: what goes with a resource, and what stays. `make where`.

That the example can be taken out, with its tables on a filled database, is seen by `make test-fork`.
"""

import subprocess
from pathlib import Path

import pytest
from builder.removal import Dead, ensure_nothing_uses, joined, modules_of, plural, reason, without
from builder.spec import Refused
from builder.where import sections

DEAD = Dead(modules=modules_of(["looms"]), collections={"looms"}, permissions={"looms"}, reactions={"spin"})

# (what is there, what is left of it)
CUT = [
    (
        "from domain.looms import Loom, LoomId\nfrom domain.mills import Mill\n\n\n"
        "class UnitOfWork(Kernel):\n    ask: Queries\n    looms: Repository[Loom, LoomId]\n    mills: Repository[Mill]\n",
        "from domain.mills import Mill\n\n\n"
        "class UnitOfWork(Kernel):\n    ask: Queries\n    mills: Repository[Mill]\n",
    ),
    (
        "from domain.looms import Loom\n\n\nclass Looms(Repository[Loom]):\n    def of(self) -> None: ...\n\n\n"
        "class UnitOfWork(Kernel):\n    mine: Looms\n    yours: int\n",
        "\n\n\n\nclass UnitOfWork(Kernel):\n    yours: int\n",
    ),
    (
        'WRITE_MILLS = Permission("mills:write", MEMBERS)\nWRITE_LOOMS = Permission("looms:write", MEMBERS)  # all\n',
        'WRITE_MILLS = Permission("mills:write", MEMBERS)\n',
    ),
    (
        "from application.permissions import WRITE_LOOMS, WRITE_MILLS\n\nLEAST = {WRITE_MILLS: 1, WRITE_LOOMS: 2}\n",
        "from application.permissions import WRITE_LOOMS, WRITE_MILLS\n\nLEAST = {WRITE_MILLS: 1}\n",
    ),
    (
        "from application.permissions import WRITE_LOOMS\n\nLEAST = {\n    WRITE_LOOMS: 2,  # of all\n    OTHER: 1,\n}\n",
        "from application.permissions import WRITE_LOOMS\n\nLEAST = {\n    OTHER: 1,\n}\n",
    ),
    (
        "from domain.looms import LoomMade\n\nREACTIONS: Sequence[Row] = [\n    when(MillMade, tell),\n"
        "    when(LoomMade, tell),\n]\n",
        "\nREACTIONS: Sequence[Row] = [\n    when(MillMade, tell),\n]\n",
    ),
    (
        "from application.reactions import spin, tell\n\nREACTIONS = [when(Made, spin), when(Made, tell)]\n",
        "from application.reactions import spin, tell\n\nREACTIONS = [when(Made, tell)]\n",
    ),
    (
        "async def forget(uow: UnitOfWork) -> None:\n    await uow.looms.remove_of(1)\n\n\n"
        "async def keep(uow: UnitOfWork) -> None:\n    await uow.mills.keep(1)\n",
        "\n\nasync def keep(uow: UnitOfWork) -> None:\n    await uow.mills.keep(1)\n",
    ),
    (
        'EXPORTS = {"looms": lambda ask, id: ask.looms.of(id), "mills": lambda ask, id: ask.mills.of(id)}\n',
        'EXPORTS = {"mills": lambda ask, id: ask.mills.of(id)}\n',
    ),
    (
        "from domain.looms import Loom\n\n\n@decorated\n@twice(1)\ndef of(loom: Loom) -> int:\n    return 1\n\n\nX = 1\n",
        "\n\n\n\nX = 1\n",
    ),
    (
        "from domain.looms import Loom\n\n\nclass Only(Protocol):\n    loom: Loom\n\n\nclass Of(Only):\n    x: int\n\n\nY = 1\n",
        "\n\n\n\n\n\n\n\nY = 1\n",
    ),
    ("ÄRGER = {ä: 1}\nlooms = 'looms'\n", "ÄRGER = {ä: 1}\nlooms = 'looms'\n"),
]


@pytest.mark.parametrize(("text", "left"), CUT)
def test_what_uses_a_resource_goes_with_it_and_nothing_else(text: str, left: str) -> None:
    assert without(text, "some.py", DEAD).strip("\n") == left.strip("\n")


def test_what_is_shorter_than_before_may_stand_on_one_line_again() -> None:
    long = (
        "from a import (\n    One,\n    Two,\n)\nfrom b import (\n    Three,\n)\n\n\n"
        "@route(\n    1,\n    refuses=(TWO, Ä),\n)\n@kept(\n    1,\n)\ndef f() -> None: ...\n"
    )
    short = long.replace("    Two,\n", "").replace("(TWO, Ä)", "Ä")
    assert joined(short, long) == (
        "from a import (\n    One)\nfrom b import (\n    Three,\n)\n\n\n"
        "@route(\n    1,\n    refuses=Ä)\n@kept(\n    1,\n)\ndef f() -> None: ...\n"
    )
    assert joined(long, long) == long


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(Refused, match=r"^some\.py cannot be read: .* in line 2\."):
        without("x = 1\nclass :\n", "some.py", DEAD)


def test_a_resource_that_others_use_stays(tmp_path: Path) -> None:
    for name, text in {"src/domain/mills.py": "\nfrom domain.looms import Loom\n", "tests/x.py": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(Refused) as refused:
        ensure_nothing_uses(DEAD.modules, tmp_path)
    assert str(refused.value).startswith(
        "src/domain/mills.py:2 uses domain.looms, and only you know what for"
    )


def test_a_resource_is_found_by_its_name_in_the_singular(tmp_path: Path) -> None:
    for name, text in {
        "src/domain/cities.py": "class City(Aggregate):\n    id: CityId\n",
        "src/entrypoints/http/v1/cities.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert (plural("city", tmp_path), plural("cities", tmp_path)) == ("cities", "cities")
    for wrong, said in {
        "": "Say which",
        "town": "There is no resource town. There is: cities.",
        "../x": "There is no",
    }.items():
        with pytest.raises(Refused) as refused:
            plural(wrong, tmp_path)
        assert said in str(refused.value)


def test_what_a_release_has_goes_in_the_one_after(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.4.0"\n')
    git("init")
    git("add", "--all")
    git("commit", "-m", "Begin")
    assert reason("looms", "", tmp_path) == "0.4.0: it does not use what is dropped"
    git("tag", "v1.0.0")
    assert reason("looms", "", tmp_path) == ""
    (tmp_path / "src/adapters/postgres").mkdir(parents=True)
    (tmp_path / "src/adapters/postgres/looms.py").write_text("")
    git("add", "--all")
    git("commit", "-m", "Add looms")
    assert reason("looms", "", tmp_path) == ""
    git("tag", "v1.1.0")
    with pytest.raises(Refused) as refused:
        reason("looms", "", tmp_path)
    assert str(refused.value).startswith("v1.1.0 has looms, and while the next release is rolled out")
    assert reason("looms", "1.2.0", tmp_path) == "1.2.0: nothing uses it since then"


def test_all_of_a_resource_is_shown(tmp_path: Path) -> None:
    for name, text in {
        "src/domain/looms.py": "class LoomNotFound(NotFound, of=LoomId): ...\nclass LoomMade(Event): ...\n",
        "src/application/commands/looms.py": 'async def make_loom(uow: U) -> None:\n    """Any."""\n',
        "src/application/unit_of_work.py": "class UnitOfWork:\n    looms: int\n    heirlooms: int\n",
        "src/adapters/postgres/looms.py": 'looms = Table("looms", metadata, key(), text("name"))\n',
        "src/adapters/postgres/migrations/app/1_add_looms.py": 'op.create_table("looms")\n',
        "src/entrypoints/http/v1/looms.py": '@router.post("/looms", use_case=x)\nasync def make_loom() -> None: ...\n',
        "tests/domain/test_looms.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert dict(sections("looms", tmp_path)) == {
        "files": [
            "src/domain/looms.py",
            "src/application/commands/looms.py",
            "src/adapters/postgres/looms.py",
            "src/entrypoints/http/v1/looms.py",
            "src/adapters/postgres/migrations/app/1_add_looms.py",
        ],
        "tests": ["tests/domain/test_looms.py"],
        "lines in": ["src/application/unit_of_work.py:2: looms: int"],
        "routes": ["POST   /v1/looms  make_loom"],
        "use cases": ["make_loom: Any."],
        "events": ["LoomMade"],
        "problems": ["LoomNotFound"],
        "table": ["key()", "text('name')"],
    }
