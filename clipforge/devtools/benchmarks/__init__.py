"""Measurements to run by hand. They print; tests never assert wall-clock time."""
