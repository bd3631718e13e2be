"""Examples of what the API answers about an organization, for its schema."""

ORGANIZATION = {
    "id": "01a20e2e-0a0b-7c0d-8e0f-1a2b3c4d5e6f",
    "name": "Acme",
    "slug": "acme",
    "tier": "PRO",
    "created_at": "2026-01-12T09:30:00.000000Z",
}
LIMITS = {
    "requests_per_minute": 200,
    "uploads_per_minute": 20,
    "exports_per_minute": 40,
    "concurrent_jobs": 4,
    "queued_jobs": 200,
    "max_source_seconds": 10800,
    "max_resolution": 1440,
    "retention_days": 60,
    "monthly_credits": 1000,
}
API_KEY = {
    "id": "01a20e2e-4c5d-7e6f-8071-9a8b7c6d5e4f",
    "name": "web front end",
    "prefix": "a1b2c3d4",
    "created_at": "2026-01-12T09:31:00.000000Z",
    "last_used_at": "2026-11-30T10:59:30.000000Z",
}
ORIGINS = {"origins": ["https://app.example.com"]}
TOKEN_REQUEST = {"scope": "read", "minutes": 15}
TOKEN = {
    "token": "cf_pub_shortened",
    "scope": "read",
    "expires_at": "2026-11-30T11:15:00.000000Z",
}
KEY = {
    "id": "01a20e2e-4c5d-7e6f-8071-9a8b7c6d5e4f",
    "name": "web front end",
    "prefix": "a1b2c3d4",
    "mode": "live",
    "scopes": ["read", "write"],
    "allowed_addresses": ["192.0.2.0/24"],
    "monthly_credit_cap": 500,
    "credits_used": 31,
    "created_at": "2026-01-12T09:31:00.000000Z",
    "created_by": "support",
}
KEY_REQUEST = {"name": "web front end", "scopes": ["read", "write"], "monthly_credit_cap": 500}
