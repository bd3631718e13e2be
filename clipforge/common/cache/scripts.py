"""Lua scripts that Redis runs as one step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from clipforge.common.cache.redis import Client, GuardedPipeline


class Script:
    """A script, known to Redis by its digest; the text is sent when Redis does not know it (yet)."""

    def __init__(self, *sources: Path) -> None:
        """The texts of `sources` one after the other; a later one may use an earlier one."""
        self.text = "\n".join(source.read_text() for source in sources)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, redis: Client, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The answer of the script, in one round trip. Raises RedisError."""
        try:
            return redis.ask("EVALSHA", self.digest, len(keys), *keys, *args)
        except NoScriptError:
            return redis.ask("EVAL", self.text, len(keys), *keys, *args)

    def queue(self, pipeline: GuardedPipeline, keys: Sequence[str], args: Sequence[Any]) -> None:
        """Add the script to a pipeline, with its text: a pipeline cannot be told that it is missing."""
        pipeline.eval(self.text, len(keys), *keys, *args)
