"""The words of the staff pages, and what each means. Pages use these and no others for the same thing."""

from __future__ import annotations

from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from clipforge.staff.pages import page


class Word(NamedTuple):
    """A word and its meaning. `slug` is its place on the page."""

    slug: str
    word: str
    meaning: str


WORDS = [
    Word("organization", "Organization", "A customer: its people, keys, credits and videos."),
    Word("tier", "Tier", "What an organization may ask for: requests a minute, jobs at once, length, storage."),
    Word("project", "Project", "A video that a customer uploaded or had fetched, and its analysis."),
    Word("moment", "Moment", "A part of a project that is worth a clip, with a score and the reason for it."),
    Word("export", "Export", "A clip that was rendered, or is to be. Tables to take along are downloads."),
    Word("job", "Job", "An analysis or a render: it is queued, runs on a worker, and ends."),
    Word("given-up", "Given up", "A job whose attempts all failed: nothing tries it again until somebody does."),
    Word(
        "no-sign-of-life",
        "No sign of life",
        "A job that a worker took, and of which the worker has said nothing for longer than it may. It is "
        "queued again by itself.",
    ),
    Word("credit", "Credit", "What work is paid with: one for each started minute."),
    Word("available", "Available", "Credits that can be spent now: all of them without those that are held."),
    Word("held", "Held", "Credits that are reserved for a job that has not ended."),
    Word("in-all", "In all", "Available and held credits together. The API calls them posted."),
    Word("owed", "Owed", "Credits that were spent although their money went back. They are taken from the next ones."),
    Word("hold", "Hold", "The reservation for one job: it is captured when the job succeeds, else released."),
    Word("lot", "Grant", "Credits that came together, with their kind and their end; spent in the order of their ends."),
    Word("ledger", "Ledger", "Every movement of credits, for ever. Nothing in it is changed; what was wrong is undone by a new row."),
    Word("payment", "Payment", "Money that came for a plan or a pack: by Stripe, or by a transfer that staff recorded."),
    Word("refund", "Refund", "Money, or credits of a job, that went back to the customer."),
    Word("throttled", "Refused by a limit", "A request that was answered 429, because there were too many in a minute."),
    Word("approval", "Approval", "The word of a second person for what one may not do alone."),
    Word("audit", "Audit entry", "Who changed what, from which value to which, why, and from where. Kept for ever."),
    Word("key", "API key", "What a customer's program signs in with. Its prefix is public, its secret is shown once."),
    Word("webhook", "Webhook", "An address of the customer's that is told of events."),
    Word("time", "Times", "All are written as 2026-11-03 14:05:09 UTC. Let the pointer rest on one to see your own time."),
]  # fmt: skip


@require_safe
def glossary(request: HttpRequest) -> HttpResponse:
    return page(request, "staff/glossary/page.html", title="Words", words=WORDS)
