"""The stored OpenAPI documents: written where nobody is hurt, and held against what is served."""

import json
import subprocess
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import create_model

from entrypoints.kernel.service import ROOT
from entrypoints.kernel.tools import stored
from entrypoints.kernel.tools.stored import Ambiguous, Broken, Outdated, check, text_of, write


def a_document(**operations: str) -> dict[str, Any]:
    """Paths by the ids of their operations."""
    return {"paths": {f"/{path}": {"get": {"operationId": id_}} for path, id_ in operations.items()}}


def test_the_first_document_is_written_and_then_up_to_date(tmp_path: Path) -> None:
    documents = {"v1": a_document(looms="list_looms")}
    with pytest.raises(Outdated, match=r"v1\.json"):
        check(documents, tmp_path)
    assert write(documents, tmp_path) == [tmp_path / "v1.json"]
    check(documents, tmp_path)
    assert write(documents, tmp_path) == []
    assert json.loads((tmp_path / "v1.json").read_text("utf-8")) == documents["v1"]


def test_an_addition_is_outdated_until_it_is_written(tmp_path: Path) -> None:
    write({"v1": a_document(looms="list_looms")}, tmp_path)
    more = {"v1": a_document(looms="list_looms", wheels="list_wheels"), "v2": a_document()}
    with pytest.raises(Outdated, match=r"v1.json, v2.json"):
        check(more, tmp_path)
    assert [path.name for path in write(more, tmp_path)] == ["v1.json", "v2.json"]
    check(more, tmp_path)


def test_what_breaks_is_refused_and_told_and_nothing_is_written(tmp_path: Path) -> None:
    before = {"v1": a_document(looms="list_looms")}
    write(before, tmp_path)
    after = {"v1": a_document(wheels="list_wheels")}
    for refuse in (check, write):
        with pytest.raises(Broken, match=r"GET /looms: it is gone\."):
            refuse(after, tmp_path)
    check(before, tmp_path)
    write(after, tmp_path, breaking=True)
    check(after, tmp_path)


def test_a_version_that_is_gone_breaks_its_clients(tmp_path: Path) -> None:
    write({"v1": a_document(), "v2": a_document()}, tmp_path)
    with pytest.raises(Broken, match=r"v1.json: the version is gone."):
        check({"v2": a_document()}, tmp_path)
    write({"v2": a_document()}, tmp_path, breaking=True)
    assert [path.name for path in tmp_path.iterdir()] == ["v2.json"]


def test_what_many_operations_share_is_told_once(tmp_path: Path) -> None:
    write({"v1": a_document(a="get_a", b="get_b", c="get_c")}, tmp_path)
    with pytest.raises(Broken) as broken:
        check({"v1": a_document()}, tmp_path)
    assert str(broken.value) == "GET /a and 2 more: it is gone."


def test_classes_of_one_name_are_named_before_all_that_breaks(tmp_path: Path) -> None:
    """Of both, because pydantic then calls neither what it was called before."""
    statuses: list[Any] = [
        StrEnum("Status", [value], module=module)
        for module, value in (("domain.works", "OPEN"), ("domain.purchase_orders", "SENT"))
    ]
    looms = create_model("Looms", work=statuses[0], order=statuses[1])
    api = FastAPI()
    api.get("/looms", response_model=looms)(lambda: None)

    write({"v1": {"components": {"schemas": {"Status": {"type": "string"}}}}}, tmp_path)
    ambiguous = {"v1": api.openapi()}
    told = (
        "domain.purchase_orders.Status and domain.works.Status have one name: "
        "call one of them PurchaseOrderStatus or WorkStatus."
    )
    for refuse in (check, write, partial(write, breaking=True)):
        with pytest.raises(Ambiguous) as refused:
            refuse(ambiguous, tmp_path)
        assert str(refused.value) == told
    assert "domain" not in (tmp_path / "v1.json").read_text("utf-8")


def test_it_is_text_that_a_person_can_compare() -> None:
    assert text_of({"ä": [1]}) == '{\n  "ä": [\n    1\n  ]\n}\n'


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that keeps its documents elsewhere, under settings of a machine."""
    code = (
        "import sys, pathlib; from entrypoints import cli as own; from entrypoints.kernel import cli;"
        "cli.DOCUMENTS = pathlib.Path(sys.argv.pop(1)); own.main(sys.argv[1:])"
    )
    return subprocess.run(
        (sys.executable, "-c", code, str(folder), "openapi", *arguments),
        env={"PYTHONPATH": str(ROOT / "src"), "PUBLIC_URL": "https://here.example.com", "PORT": "9"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_writes_what_is_stored_here_and_refuses_what_breaks(tmp_path: Path) -> None:
    written = run("--write", folder=tmp_path)
    assert (written.returncode, written.stderr) == (0, "")
    assert (tmp_path / "v1.json").read_text("utf-8") == (ROOT / "openapi/v1.json").read_text("utf-8")
    assert "here.example.com" not in (tmp_path / "v1.json").read_text("utf-8")
    promised = json.loads((tmp_path / "v1.json").read_text("utf-8"))
    promised["paths"]["/v1/looms"] = {"get": {"operationId": "list_looms"}}
    (tmp_path / "v1.json").write_text(stored.text_of(promised), "utf-8")
    for arguments in (["--check"], ["--write"]):
        refused = run(*arguments, folder=tmp_path)
        assert refused.returncode == 1
        assert "GET /v1/looms: it is gone." in refused.stderr
        assert "BREAKING=allowed" in refused.stderr
    assert run("--breaking", folder=tmp_path).returncode == 0
    assert run("--check", folder=tmp_path).stdout == "The stored OpenAPI documents are up to date.\n"
