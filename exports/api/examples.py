"""Examples of what the API of exports answers and takes, for its schema."""

EXPORT = {
    "id": "01a20e36-10aa-7b21-a3de-9b7f0c5d2e11",
    "project": "01a20e35-2f41-7c55-8d60-5e0b6f1d7a90",
    "moment": "01a20e35-5b0c-7a3e-9f4d-0c1a6c0f4e2b",
    "status": "READY",
    "progress": 1.0,
    "credits": {"reserved": 0, "charged": 1},
    "start": 312.4,
    "end": 349.15,
    "aspect": "9:16",
    "resolution": 1080,
    "layout": "auto",
    "format": "mp4",
    "captions": "none",
    "caption_style": None,
    "tighten": "off",
    "watermark": None,
    "size": 18350080,
    "duration": 36.75,
    "width": 1080,
    "height": 1920,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "warnings": [],
    "attempts": 1,
    "created_at": "2026-11-30T10:50:00.000000Z",
    "updated_at": "2026-11-30T10:50:21.750000Z",
    "queued_at": "2026-11-30T10:50:00.000000Z",
    "started_at": "2026-11-30T10:50:00.500000Z",
    "finished_at": "2026-11-30T10:50:21.750000Z",
    "expires_at": "2027-02-28T10:50:21.750000Z",
    "download_url": "https://clips.example.com/files/signed/why-the-moon-moves-the-sea.mp4",
    "download_expires_at": "2026-11-30T11:50:00.000000Z",
}
WATERMARK = {
    "id": "01a20e37-4c1d-7e0a-8b52-3f6d1c9e7a04",
    "width": 512,
    "height": 160,
    "size": 9216,
    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "created_at": "2026-11-30T09:00:00.000000Z",
}
ORDER = {"moment": "01a20e35-5b0c-7a3e-9f4d-0c1a6c0f4e2b", "aspect": "9:16", "resolution": 1080}
QUOTE_REQUEST = {"analysis_seconds": 1800}
QUOTE_LINE = {"kind": "analysis", "seconds": 1800.0, "minutes": 30, "credits": 30}
QUOTE = {
    "credits": 30,
    "expires_at": "2026-11-30T12:00:00.000000Z",
    "price_version": "2026-11-01",
    "available": 480,
    "affordable": True,
}
