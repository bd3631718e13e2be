"""Watching over the service: what needs a person, and who is told."""
