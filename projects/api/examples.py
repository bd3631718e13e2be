"""Examples of what the API of projects answers and takes, for its schema."""

PROJECT_ID = "01a20e35-2f41-7c55-8d60-5e0b6f1d7a90"
MOMENT_ID = "01a20e35-5b0c-7a3e-9f4d-0c1a6c0f4e2b"

PROJECT = {
    "id": PROJECT_ID,
    "title": "A talk about tides",
    "external_id": "talk-2026-11",
    "metadata": {"team": "research"},
    "status": "READY",
    "progress": 1.0,
    "credits": {"reserved": 0, "charged": 30},
    "source_name": "talk.mp4",
    "size": 734003200,
    "duration": 1795.2,
    "width": 1920,
    "height": 1080,
    "has_audio": True,
    "warnings": [],
    "attempts": 1,
    "created_at": "2026-11-30T10:40:00.000000Z",
    "updated_at": "2026-11-30T10:46:12.500000Z",
    "queued_at": "2026-11-30T10:40:00.000000Z",
    "started_at": "2026-11-30T10:40:01.250000Z",
    "finished_at": "2026-11-30T10:46:12.500000Z",
}
MOMENT = {
    "id": MOMENT_ID,
    "project": PROJECT_ID,
    "start": 312.4,
    "end": 349.15,
    "duration": 36.75,
    "title": "Why the moon moves the sea",
    "hook": "Nobody believed it for two thousand years.",
    "kind": "talk",
    "score": 87.5,
    "subscores": {"hook": 92.0, "speech": 88.5, "motion": 41.0},
    "reason": "It opens with a surprising claim and ends with a whole thought.",
    "scorer_version": "3",
    "origin": "chosen",
    "pinned": False,
}
UPLOAD = {"file": "(the bytes of talk.mp4)", "title": "A talk about tides", "count": 5}
IMPORT = {"source_url": "https://files.example.com/talk.mp4", "max_credits": 60}
UPLOAD_ID = "01a20e35-91b7-7d20-a1e5-6a0f4c2b8e11"
TO_SEND = {"name": "talk.mp4", "size": 734003200}
SENT = {
    "id": UPLOAD_ID,
    "name": "talk.mp4",
    "size": 734003200,
    "offset": 134217728,
    "protocol": "tus",
    "url": f"/api/v1/uploads/{UPLOAD_ID}",
    "part_bytes": 67108864,
    "created_at": "2026-11-30T10:30:00.000000Z",
    "expires_at": "2026-12-01T10:35:00.000000Z",
}
MISSING_PART = {
    "number": 2,
    "offset": 16777216,
    "size": 16777216,
    "url": "https://clips.s3.amazonaws.com/01a20e35/uploads/part?partNumber=2&X-Amz-Signature=5d41",
}
PARTS = {"received": [1, 3], "missing": [MISSING_PART]}
WISHES = {"count": 5, "min_seconds": 20, "max_seconds": 60, "keywords": ["moon"]}
UPDATE = {"title": "A talk about tides", "metadata": {"team": "research"}}
EDGES = {"start": 312.4, "end": 349.15, "snap": "sentence", "title": "Why the moon moves the sea"}
MOMENT_UPDATE = {"pinned": True, "rating": "up"}
