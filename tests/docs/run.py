"""Runs the snippets of the documentation: each fenced block, as it stands, inside the harness of its language.

The servers that snippets name are replaced by a real one on a free port; `db` and what else a reader would have is in
the harness. The READMEs of the packages are run by the tests of their language.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "target" / "docs"
sys.path.insert(0, str(HERE.parent / "support"))

import redis_server  # noqa: E402
import runners  # noqa: E402

DOCUMENTS = ("README.md", "docs/coherence.md", "docs/from-the-guide.md", "docs/patterns.md")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Decorators are compiled and run by the tests of the Node.js package.
NOT_PROGRAMS = {"sh", "ts", "text"}
MODULE_LINE = {"python": re.compile(r"^(?:from|import) .*\n", re.M), "js": re.compile(r"^import .*\n", re.M)}
# How a snippet becomes a function of its own: what comes before it, and after.
FUNCTIONS = {
    "python": ("async def snippet_{n}():\n", "\n"),
    "js": ("async function snippet_{n}() {{\n", "}}\n"),
    "go": ("func snippet_{n}() {{\n", "\tuse(cache)\n}}\n"),
    "rust": ("async fn snippet_{n}() -> Result<(), Box<dyn std::error::Error>> {{\n", "    Ok(())\n}}\n"),
    "c": ("static void snippet_{n}(void) {{\n", "  check(value, codec);\n}}\n"),
}
CALLS = {
    "python": "    await snippet_{n}()\n",
    "js": "await snippet_{n}()\n",
    "go": "\tsnippet_{n}()\n",
    "rust": "    snippet_{n}().await?;\n",
    "c": "  snippet_{n}();\n",
}
HARNESSES = {"python": "harness.py", "js": "harness.mjs", "go": "harness.go", "rust": "harness.rs", "c": "harness.c"}


def snippets() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        for match in FENCE.finditer(text):
            line = text[: match.start()].count("\n") + 1
            if match[1] not in NOT_PROGRAMS:
                found.setdefault(match[1], []).append((f"{document}:{line}", match[2]))
    return found


def program(language: str, parts: list[tuple[str, str]], url: str) -> str:
    functions, calls = [], []
    for number, (_, text) in enumerate(parts):
        # Imports stand at the head of the harness, which has them all.
        text = MODULE_LINE[language].sub("", text) if language in MODULE_LINE else text
        text = text.replace("redis://localhost:6379", url).replace("localhost:6379", url.removeprefix("redis://"))
        before, after = FUNCTIONS[language]
        functions.append(before.format(n=number) + textwrap.indent(text, "    ") + after.format(n=number))
        calls.append(CALLS[language].format(n=number))
    harness = (HERE / HARNESSES[language]).read_text()
    return harness.replace("SNIPPETS", "\n".join(functions)).replace("CALLS", "".join(calls))


def run(command: list[str], folder: Path, **environment: str) -> str | None:
    """None when it went well, or what it said."""
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=500
    )
    return None if ended.returncode == 0 else ended.stdout + ended.stderr


def run_python(folder: Path, text: str) -> str | None:
    (folder / "main.py").write_text(text)
    return run([*runners.commands(["python"])["python"][:1], "main.py"], folder)


def run_js(folder: Path, text: str) -> str | None:
    (folder / "main.mjs").write_text(text)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "scrubjay").symlink_to(ROOT / "bindings-node")
    return run(["node", "main.mjs"], folder)


def run_go(folder: Path, text: str) -> str | None:
    (folder / "main.go").write_text(text)
    module = f"module docs\n\ngo 1.24\n\nrequire scrubjay v0.0.0\n\nreplace scrubjay => {ROOT / 'go'}\n"
    (folder / "go.mod").write_text(module)
    return run(["go", "run", "."], folder)


def run_rust(folder: Path, text: str) -> str | None:
    (folder / "src").mkdir()
    (folder / "src" / "main.rs").write_text(text)
    manifest = (HERE / "harness.toml").read_text().replace("CORE", str(ROOT / "core"))
    (folder / "Cargo.toml").write_text(manifest)
    shutil.copy(ROOT / "Cargo.lock", folder)
    return run(["cargo", "run", "--quiet", "--release"], folder, CARGO_TARGET_DIR=str(ROOT / "target"))


def run_c(folder: Path, text: str) -> str | None:
    (folder / "main.c").write_text(text)
    library = ROOT / "target" / "release"
    include = ROOT / "bindings-c" / "include"
    # Under the name that an installed library has.
    (folder / "libscrubjay.so.0").symlink_to(library / "libscrubjay.so")
    link = ["-L", str(library), "-lscrubjay", f"-Wl,-rpath,{folder}"]
    compiled = run(["gcc", "-Wall", "-Werror", "-I", str(include), "main.c", "-o", "main", *link], folder)
    return compiled or run(["./main"], folder)


RUN = {"python": run_python, "js": run_js, "go": run_go, "rust": run_rust, "c": run_c}


def main() -> None:
    passed = failed = 0
    shutil.rmtree(OUT, ignore_errors=True)
    found = snippets()
    unknown = set(found) - set(RUN)
    if unknown:
        raise SystemExit(f"docs: blocks of {', '.join(sorted(unknown))} are run by nothing")
    for language in sys.argv[1:] or found:
        parts = found[language]
        folder = OUT / language
        folder.mkdir(parents=True)
        # A server for each language: they use the same keys, and would answer for each other.
        with redis_server.required() as url:
            trouble = RUN[language](folder, program(language, parts, url))
        places = ", ".join(place for place, _ in parts)
        if trouble is None:
            passed += len(parts)
            print(f"docs: {language}: {len(parts)} snippets ok ({places})")
        else:
            failed += len(parts)
            print(f"docs: {language} FAILED ({places})\n{trouble[-4000:]}")
    print(f"docs: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
