"""Test helpers: factories, fixtures, helpers for races. Only tests import it."""
