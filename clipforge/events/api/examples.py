"""Examples of what the API of webhooks answers and takes, for its schema."""

ENDPOINT = {
    "id": "01a20e33-6d5c-7b4a-9382-71605f4e3d2c",
    "url": "https://hooks.example.com/clipforge",
    "description": "The queue of our editors",
    "event_types": ["project.ready", "export.ready"],
    "api_version": "2026-11-30",
    "is_enabled": True,
    "created_at": "2026-11-02T08:00:00.000000Z",
    "updated_at": "2026-11-02T08:00:00.000000Z",
}
DELIVERY = {
    "id": "01a20e36-9c1d-7a2b-8f3e-4d5c6b7a8f90",
    "endpoint": "01a20e33-6d5c-7b4a-9382-71605f4e3d2c",
    "event": "01a20e36-9c00-7e11-b022-c33d44e55f66",
    "event_type": "export.ready",
    "object_id": "01a20e36-10aa-7b21-a3de-9b7f0c5d2e11",
    "status": "DELIVERED",
    "answer_status": 204,
    "created_at": "2026-11-30T10:50:21.750000Z",
    "delivered_at": "2026-11-30T10:50:22.100000Z",
}
ATTEMPT = {
    "url": "https://hooks.example.com/clipforge",
    "sent_at": "2026-11-30T10:50:22.000000Z",
    "seconds": 0.1,
    "answer_status": 204,
}
