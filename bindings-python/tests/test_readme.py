"""Every snippet of the README runs, in order, in one program."""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import re
import types
from pathlib import Path
from typing import Any

from conftest import Redis

README = Path(__file__).parents[1] / "README.md"


def test_the_snippets_of_the_readme(redis: Redis) -> None:
    text = README.read_text()
    snippets = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
    assert len(snippets) >= 4
    redis.command("FLUSHALL")
    loaded: list[str] = []

    def load_user(user_id: str) -> dict[str, str]:
        loaded.append(user_id)
        return {"id": user_id}

    async def load_user_async(user_id: str) -> dict[str, str]:
        return load_user(user_id)

    names: dict[str, Any] = {"load_user": load_user, "load_user_async": load_user_async, "__name__": "readme"}
    # As every program has them: what imports at its first use needs them.
    names["__builtins__"] = builtins

    async def main() -> None:
        for snippet in snippets:
            line = text.count("\n", 0, snippet.start(1))
            source = "\n" * line + snippet[1].replace("redis://localhost:6379", redis.url)
            code = compile(source, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = types.FunctionType(code, names)()
            if inspect.iscoroutine(result):
                await result

    asyncio.run(main())
    assert loaded == ["7"]
    assert names["user"] == {"id": "7"}
    assert names["cache"].get("user:7") is None
    names["cache"].close()
    names["shop"].close()


def test_the_options_of_the_readme_are_those_there_are() -> None:
    """With the defaults that it names."""
    from scrubjay import CacheService

    table = README.read_text().split("## Options")[1].split("## Errors")[0]
    names = set(
        re.findall(r"`([a-z_0-9]+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    )
    assert len(names) >= 20
    defaults: dict[str, Any] = {
        "ttl": 3600, "stale_for": None, "jitter": 0.1, "fetch_soft_timeout": None, "fetch_hard_timeout": 30,
        "negative_ttl": 5, "refresh_ahead": True, "origin_concurrency": 64, "l1_bytes": 64 << 20, "l1_entries": None,
        "max_value": 8 << 20, "max_tags": 16, "max_staleness": 1, "l2_timeout": 0.25, "breaker": True, "codec": "json", "isolate": False,
        "format": "scrubjay", "tracking": False, "subscribe_invalidations": None, "publish_invalidations": None,
        "username": None, "password": None, "tls_ca": None, "tls_cert": None, "tls_key": None,
    }  # fmt: skip
    assert names == set(defaults)
    CacheService(**defaults).close()
