"""Examples of what the API of credits answers, for its schema."""

BALANCE = {"available": 449, "held": 31, "posted": 480, "debt": 0}
_TRACE = {
    "reason": "Analysis of a talk about tides",
    "reference_type": "project",
    "reference_id": "01a20e35-2f41-7c55-8d60-5e0b6f1d7a90",
    "unit_price": 1,
    "price_version": "2026-11-01",
    "inputs": {"item": "analysis", "seconds": 1795.2, "minutes": 30},
}
TRANSACTION = {
    "id": 10452,
    "type": "SPEND",
    "amount": -30,
    "balance_after": 450,
    "hold_id": "01a20e35-2f47-7e80-8a10-2d7c1b9e4f33",
    **_TRACE,
    "created_at": "2026-11-30T10:46:12.500000Z",
}
HOLD = {
    "id": "01a20e35-2f47-7e80-8a10-2d7c1b9e4f33",
    "status": "CAPTURED",
    "amount": 30,
    "captured": 30,
    **_TRACE,
    "created_at": "2026-11-30T10:40:00.000000Z",
    "expires_at": "2026-11-30T11:40:00.000000Z",
    "resolved_at": "2026-11-30T10:46:12.500000Z",
}
STATEMENT = {"month": "2026-11", "opening": 180, "closing": 480}
STATEMENT_CSV = (
    "date,type,amount,balance,reason,reference_type,reference_id\r\n"
    "2026-11-01,OPENING,,480,,,\r\n"
    "2026-11-30T10:46:12.500000Z,SPEND,-30,450,Analysis of a talk about tides,project,"
    "01a20e35-2f41-7c55-8d60-5e0b6f1d7a90\r\n"
    ",CLOSING,,450,,,\r\n"
)
