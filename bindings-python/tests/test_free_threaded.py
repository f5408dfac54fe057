"""Free-threaded Python: where such an interpreter is found, else this says 'not run'."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
    import sys, threading, time
    from scrubjay import CacheService, MemoryCache, memoize

    assert not sys._is_gil_enabled()
    cache, service, failures = MemoryCache(500, 0.05), CacheService(), []

    @memoize(maxsize=100)
    def double(n):
        return 2 * n

    def work(seed):
        try:
            for n in range(20_000):
                key = (n * seed) % 1000
                found = cache.get(key)
                assert found is None or found == [key]
                cache[key] = [key]
                cache.pop((n * 7) % 1000, None)
                assert double(n % 150) == 2 * (n % 150)
                service.set(f"k{key % 50}", [key % 50])
                assert service.get(f"k{key % 50}") in (None, [key % 50])
                if n % 100 == 0:
                    service.delete(f"k{key % 50}")
                    len(cache), list(cache.items())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures, failures
    assert not sys._is_gil_enabled()
    print("ok")
"""


def test_without_the_gil(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interpreters = [found for name in ("python3.13t", "python3.14t") if (found := shutil.which(name))]
    maturin = next(Path(sys.prefix).parent.glob("tools-*/bin/maturin"), None)
    if not interpreters or maturin is None:
        with capsys.disabled():
            print("free-threaded Python: not run, there is no such interpreter here")
        return
    for interpreter in interpreters:
        build: list[Any] = [
            maturin,
            "build",
            "--quiet",
            "--release",
            "--interpreter",
            interpreter,
            "--out",
            tmp_path,
        ]
        subprocess.run(build, check=True, cwd=Path(__file__).parents[1])
        subprocess.run([interpreter, "-m", "venv", tmp_path / "env"], check=True)
        [wheel] = tmp_path.glob("scrubjay-*t-*.whl")
        subprocess.run([tmp_path / "env/bin/pip", "install", "--quiet", "--no-index", wheel], check=True)
        run: list[Any] = [tmp_path / "env/bin/python", "-c", textwrap.dedent(PROGRAM)]
        assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "ok\n"
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
