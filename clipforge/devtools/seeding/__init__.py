"""A database as after two years of use, for load tests and query plans."""
