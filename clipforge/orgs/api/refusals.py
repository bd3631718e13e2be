"""The codes of refusals that the operations of keys have beside those of all, for the schema."""

GRANT = {
    403: {"beyond_own_key": "A key gives no more than it has."},
    409: {
        "too_many_keys": "There are as many keys as there may be. Revoke one.",
        "is_sandbox": "This is the sandbox itself. Ask with a live key.",
    },
    422: {"invalid_network": "An address or a block of addresses is malformed."},
}
ROTATE = {
    403: {"beyond_own_key": "A key gives no more than it has."},
    409: {
        "key_not_usable": "The key is over. Make a new one.",
        "key_rotated": "The key has a successor already.",
    },
}
LIMIT = {
    403: {"beyond_own_key": "A key gives no more than it has."},
    409: {"key_not_usable": "The key is over. Make a new one."},
    422: {"invalid_network": "An address or a block of addresses is malformed."},
}
