"""What tests share: factories, fixtures, helpers for races. Only tests import it."""
