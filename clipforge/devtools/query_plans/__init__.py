"""What PostgreSQL does for each page of the API and the admin, and whether it is too much."""
