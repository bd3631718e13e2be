"""Log records with the fields of the request they belong to, as JSON or as text."""

from __future__ import annotations

import contextvars
import json
import logging
from typing import Any

# No line shows them, so no record has to look for them.
logging.logThreads = False
logging.logMultiprocessing = False

_context: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("log_context")

# What a LogRecord always has; everything else came through `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "request",  # Django's; its text has the path, see RouteInsteadOfPath
}


def start_context(**fields: Any) -> None:
    """Begin a new unit of work (a request, a task): forget the fields of the one before."""
    _context.set(dict(fields))


def bind(**fields: Any) -> None:
    """Add fields to every later record of this unit of work. Never bind a secret."""
    _context.set({**_context.get({}), **fields})


def context() -> dict[str, Any]:
    return _context.get({})


class RouteInsteadOfPath(logging.Filter):
    """Django logs the path of a request that failed; ours may carry a signed token."""

    def filter(self, record: logging.LogRecord) -> bool:
        match = getattr(getattr(record, "request", None), "resolver_match", None)
        if match is not None and isinstance(record.args, tuple) and len(record.args) == 2:
            record.args = (record.args[0], match.route)
        return True


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of the unit of work, and those logged as `extra`."""
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {**context(), **extra}


class TextFormatter(logging.Formatter):
    """For people on one machine: the sentence, then what is known beside it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in logging
        fields = [f"{key}={value}" for key, value in fields_of(record).items()]
        text = " ".join([super().formatMessage(record), *fields])
        # As an escape a line break forges no second line.
        return text.replace("\n", "\\n")


class JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str, ensure_ascii=False)
        # Half of a surrogate pair cannot be written as it is; as an escape it is JSON all the same.
        return text.encode(errors="backslashreplace").decode()


def configuration(level: str, format_: str) -> dict[str, Any]:
    """The LOGGING of the settings, in one of the two formats."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "clipforge.common.logs.JSONFormatter"},
            "text": {"()": "clipforge.common.logs.TextFormatter"},
        },
        "filters": {"route": {"()": "clipforge.common.logs.RouteInsteadOfPath"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": format_}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            # The access line of RequestLogMiddleware says it already.
            "django.request": {"level": "ERROR", "filters": ["route"]},
            # Every scanner on the internet would fill the log.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "procrastinate": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "stripe": {"level": "WARNING"},
            # It warns of every try to reach an error tracker that is away.
            "urllib3": {"level": "ERROR"},
        },
    }
