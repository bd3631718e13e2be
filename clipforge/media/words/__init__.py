"""The words that are spoken in a source."""
