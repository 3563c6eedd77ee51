"""The notes are what `make resource` writes, byte for byte: so its templates cannot rot beside the code.

    make resource name=note fields="title:str(80)!sort body:text?" search=title,body

Who changes the notes by hand deletes this.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from builder import suites
from builder.__main__ import TIDY, migration, revision, sources
from builder.spec import read

from entrypoints.kernel.service import ROOT

IT = read(name="note", fields="title:str(80)!sort body:text?", search="title,body")
FACTS = f"tests/resources/{IT.plural}.py"
WRITTEN = sources(IT) | {FACTS: suites.facts(IT, revision(migration(ROOT, IT)))}


@pytest.mark.parametrize("name", WRITTEN)
def test_each_file_of_the_notes_is_what_is_generated(name: str) -> None:
    text = WRITTEN[name]
    for command in TIDY:
        ruff = [Path(sys.executable).with_name("ruff"), *command, "--stdin-filename", name, "-"]
        text = subprocess.run(ruff, cwd=ROOT, input=text, capture_output=True, text=True, check=True).stdout
    assert text == (ROOT / name).read_text("utf-8")
