"""The codes of refusals that the operations of webhooks have beside those of all, for the schema."""

ENDPOINT = {
    409: {
        "endpoint_exists": "There is an endpoint with this address.",
        "too_many_endpoints": "There are as many endpoints as there may be.",
    },
    422: {
        "address_refused": "The address is not https, or does not lead to the public internet.",
        "unknown_event_type": "There is no such type of event.",
    },
}
DISABLED = {409: {"endpoint_disabled": "The endpoint is disabled. Enable it first."}}
REPLAY = {
    **DISABLED,
    422: {
        "empty_range": "The range ends before it begins.",
        "range_too_long": "There are too many events in the range.",
    },
}
