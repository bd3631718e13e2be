"""Django's engine for PostgreSQL, that asks a kept connection nothing before it is used."""
