"""Makes the template one's own: `make init name=billing title="Billing" description="…" owner="Example Ltd"`.

The name, the title and the description stand in pyproject.toml, the last two at the head of the README as
well. The owner is added to the notice in LICENSE, which the MIT licence wants kept. Where `licence` names
another one (an SPDX expression, or `proprietary`), the notice goes to NOTICE, and LICENSE is the owner's.
With `port=8100` the service is served there where PORT says nothing, so that two forks run beside each other;
`make run` serves metrics 1000 and 2000 above, and its database listens on no port.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 40  # it is the name of a database, too, and part of longer names
ONE_LINE = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
PORT = 8000  # where pyproject.toml has none
PROPRIETARY = "LicenseRef-Proprietary"


class Refused(Exception):
    """It cannot be done. The message says why, and the remedy."""


def initialise(
    root: Path, *, name: str, title: str, description: str, owner: str, licence: str, port: str
) -> list[Path]:
    """Writes all of it and returns the files that it changed. An empty text leaves what is there.

    Raises `Refused` before anything is written.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise Refused(
            f"{name!r} is no name for a service: lower-case letters, digits and single hyphens, a letter "
            f"first, at most {LONGEST_NAME} characters, as in name=billing-api."
        )
    given = {"title": title, "description": description, "owner": owner, "licence": licence}
    for what, text in given.items():
        if text and not ONE_LINE.fullmatch(text):
            raise Refused(f"{what} is one line of at most 200 characters.")
    if port and not (port.isdecimal() and 1024 <= int(port) <= 63535):
        raise Refused(
            f"{port!r} is no port for it: a number from 1024 to 63535, as in port=8100, since `make run` "
            "serves metrics 1000 and 2000 above."
        )
    ensure_clean(root)
    project = (root / "pyproject.toml").read_text("utf-8")
    title = title or name.replace("-", " ").title()
    licence = PROPRIETARY if licence == "proprietary" else licence
    texts = {
        "pyproject.toml": of_project(
            project, name=name, title=title, description=description, licence=licence, port=port
        ),
        "README.md": of_readme((root / "README.md").read_text("utf-8"), title=title, description=description),
        ".env.example": (root / ".env.example").read_text("utf-8"),
    }
    before, after = port_of(project), port_of(texts["pyproject.toml"])
    texts["README.md"] = re.sub(rf"\blocalhost:{before}\b", f"localhost:{after}", texts["README.md"])
    texts[".env.example"] = texts[".env.example"].replace(f"\n#PORT={before}\n", f"\n#PORT={after}\n")
    notice = (root / "LICENSE").read_text("utf-8")
    if licence not in {"", "MIT"}:
        texts["NOTICE"] = f"Parts of this service are under the following licence.\n\n{notice}"
        texts["LICENSE"] = f"Copyright (c) {datetime.now(UTC).year} {owner or title}\n\n{licence}\n"
    elif owner:
        line = f"Copyright (c) {datetime.now(UTC).year} {owner}\n"
        texts["LICENSE"] = re.sub(r"(?m)^(?=Copyright )", lambda _: line, notice, count=1)
    changed = []
    for file, text in texts.items():
        path = root / file
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def ensure_clean(root: Path) -> None:
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, check=False, capture_output=True, text=True
    )
    if changed.returncode:
        raise Refused(
            "This is no Git repository, so nothing could be undone: git init, and commit what is here."
        )
    if changed.stdout:
        raise Refused(
            "There are changes that are not committed, and the undo would take them away: commit them."
        )


def port_of(project: str) -> int:
    """The port of a pyproject.toml."""
    port: int = tomllib.loads(project)["tool"].get("service", {}).get("port", PORT)
    return port


def of_project(text: str, *, name: str, title: str, description: str, licence: str, port: str) -> str:
    """pyproject.toml with other values; what is around them stays as it is."""
    for key, value in {"name": name, "description": description, "license": licence}.items():
        if value:
            line = re.search(rf"(?m)^{key} = .*$", text)
            if line is None:
                raise Refused(f"pyproject.toml has no line `{key} = …`: add it below [project].")
            text = f"{text[: line.start()]}{key} = {quoted(value)}{text[line.end() :]}"
    own = [f"title = {quoted(title)}\n"] if title != name.replace("-", " ").title() else []
    own += [f"port = {number}\n"] if (number := int(port or port_of(text))) != PORT else []
    text = re.sub(r"(?m)^\[tool\.service\]\n(?:(?:title|port) = .*\n)*\n?", "", text)
    if own:
        text = text.replace("[dependency-groups]", f"[tool.service]\n{''.join(own)}\n[dependency-groups]", 1)
    tomllib.loads(text)
    return text


def of_readme(text: str, *, title: str, description: str) -> str:
    """The README with another heading, and another sentence below it."""
    _, _, rest = text.partition("\n")
    if description:
        paragraph, _, after = rest.lstrip("\n").partition("\n\n")
        sentence = description if description.endswith((".", "!", "?")) else f"{description}."
        rest = f"\n{sentence}\n\n{after}" if not paragraph.startswith("```") else f"\n{sentence}\n{rest}"
    return f"# {title}\n{rest}"


def quoted(text: str) -> str:
    """As a string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make init")
    for option in ("name", "title", "description", "owner", "licence", "port"):
        parser.add_argument(f"--{option}", default="")
    options = parser.parse_args(arguments)
    root = Path.cwd()
    if not options.name:
        print('Say what it is called: make init name=billing title="Billing" owner="Example Ltd"')
        return 2
    try:
        changed = initialise(root, **vars(options))
    except Refused as refused:
        print(refused)
        return 2
    subprocess.run(
        [sys.executable, "-m", "entrypoints.cli", "openapi", "--write", "--breaking"], cwd=root, check=True
    )
    print(*(f"  {path.relative_to(root)}" for path in changed), sep="\n")
    print(
        f"It is called {options.name} now: git commit, or undo it with git checkout . && git clean -f NOTICE"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
