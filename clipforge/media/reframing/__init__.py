"""Framing: which part of a wide picture a clip of another shape shows, and how that moves."""
