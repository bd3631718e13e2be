"""Errors, and a sample of requests with their SQL, for Sentry. Off, and not even imported, without SENTRY_DSN.

An error is whatever is logged as one, and what ends a process. Nothing of Django or of a library is
patched, which would cost every request as much as it takes itself: the events go out through a
handler of the log, from a thread of their own, and are dropped when nobody takes them. They carry the
release, and the organization and the request id of the unit of work; `scrubbed` says what they never
carry.
"""

from __future__ import annotations

import contextvars
import logging
import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings

from clipforge.common import logs
from clipforge.common.secret_formats import redacted

if TYPE_CHECKING:
    from sentry_sdk import types as sentry_types

# The request that is being traced here, if any.
_traced: contextvars.ContextVar[Any] = contextvars.ContextVar("traced", default=None)
# Share of requests. 0 while it is off.
_rate = 0.0

# Fields of a record whose values say who somebody is, or let one in, by a part of their name.
_TELLING = re.compile(
    r"pass|secret|token|key|auth|cookie|session|csrf|mail|addr|dsn|url|body|pepper|otp|name|title|"
    r"(^|_)(ip|user|host|phone)(_|$)",
    re.IGNORECASE,
)
# Each begins where a run of its letters does: tried at every letter of a long run it would take the square
# of its length, and texts of clients are among them.
_PATTERNS = (
    (re.compile(r"(?<![\w+.-])[\w+.-]+://\S+"), "[address]"),
    (re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(\.[\w-]+)*"), "[mail]"),
    (re.compile(r"\b(Bearer|Basic)\s+\S+", re.IGNORECASE), "[secret]"),
    (re.compile(r"\b(sk|rk|pk|whsec)_\w+"), "[secret]"),
    # As long and as random as a secret. Ids have dashes.
    (re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])\w{32,}"), "[secret]"),
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b"), "[ip]"),
    (re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}(?::|[0-9a-fA-F]{1,4})"), "[ip]"),
)
# Parts of an event that say something of what happened here; the others are ids and times of Sentry.
_SPEAKING = ("exception", "logentry", "message", "extra", "breadcrumbs", "spans", "transaction")


def start() -> None:
    """Send from here on what is logged as an error, and what ends this process."""
    global _rate
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import EventHandler

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        release=settings.RELEASE,
        environment=settings.SENTRY_ENVIRONMENT,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            ExcepthookIntegration(always_run=True),
            AtexitIntegration(callback=lambda _pending, _seconds: None),
            DedupeIntegration(),
        ],
        before_send=_finished,
        before_send_transaction=_finished,
        traces_sample_rate=0.0,  # we choose
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        shutdown_timeout=2,
        # The default is Brotli wherever that happens to be installed.
        _experiments={"transport_compression_algo": "gzip"},  # type: ignore[typeddict-item]
    )
    logging.getLogger().addHandler(EventHandler(level=logging.ERROR))
    _rate = settings.SENTRY_TRACES_PERCENT / 100


def is_sampled() -> bool:
    """Whether the request that begins now is one of the sample."""
    return _rate > 0 and random.random() < _rate  # noqa: S311 - no secret


def traced(get_response: Callable[[Any], Any], request: Any) -> Any:
    """The answer to a request of the sample, which is told as a transaction with the name of its route."""
    import sentry_sdk

    transaction: Any
    with sentry_sdk.start_transaction(op="http.server", name="none", sampled=True) as transaction:
        token = _traced.set(transaction)
        try:
            response = get_response(request)
        finally:
            _traced.reset(token)
        if match := request.resolver_match:
            transaction.name = match.view_name
        transaction.set_http_status(response.status_code)
    return response


def span_of_statement(sql: str) -> Any:
    """A context manager around a statement in a traced request; None where none is traced.

    Values are never in the text of a statement.
    """
    if not _rate or (transaction := _traced.get()) is None:
        return None
    return transaction.start_child(op="db.sql.query", name=sql[:2000])


def _finished(event: sentry_types.Event, _hint: sentry_types.Hint) -> sentry_types.Event:
    found = cast("dict[str, Any]", event)
    for part in _SPEAKING:
        if part in found:
            found[part] = scrubbed(found[part])
    found.pop("user", None)
    found.pop("request", None)
    known = logs.context()
    tags = {"request_id": known.get("request_id"), "organization": known.get("org")}
    tags |= {"kind": known.get("kind"), "job": known.get("job")}
    found["tags"] = {**found.get("tags", {}), **{key: tag for key, tag in tags.items() if tag}}
    return event


def scrubbed(value: Any) -> Any:
    """The value without secrets and persons: keys of ours and of others, addresses of mail, of the net
    and of machines, and every field whose name tells that it holds one. Frames keep their lines of code.
    """
    if isinstance(value, str):
        for pattern, instead in _PATTERNS:
            value = pattern.sub(instead, value)
        return redacted(value, "[secret]")
    if isinstance(value, dict):
        return {
            key: item if key == "stacktrace" else _field(key, item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrubbed(item) for item in value]
    return value


def _field(name: str, value: Any) -> Any:
    return "[scrubbed]" if isinstance(value, str) and _TELLING.search(name) else scrubbed(value)
