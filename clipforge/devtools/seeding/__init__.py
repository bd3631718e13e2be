"""A database as it looks after two years of use, for load tests and for looking at query plans."""
