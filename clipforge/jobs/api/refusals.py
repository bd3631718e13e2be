"""The codes of refusals that all kinds of jobs share, for the schema."""

WRONG_STATE = {409: {"wrong_state": "In this state there is nothing to do so with."}}
STARTED = {
    409: {
        "max_credits_exceeded": "It costs more than `max_credits`.",
        "quote_expired": "The quote has expired. Ask for another.",
        "quote_mismatch": "The quote is not of this work.",
        "quote_used": "The quote has paid for other work already.",
    },
    429: {
        "concurrent_jobs": "As many jobs wait as may wait.",
        "too_many_open_holds": "As much work is paid and not done as there may be.",
    },
}
WAIT = {
    429: {
        "too_many_waiting": "As many requests of the organization wait as may. Ask without `wait`."
    },
    503: {"no_place_to_wait": "Too many requests wait here. Ask without `wait`."},
}
