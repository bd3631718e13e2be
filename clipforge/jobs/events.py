"""Signals of jobs. Sent inside the transaction."""

from __future__ import annotations

from django.dispatch import Signal

# A job ended, or was stopped: `job`, whose columns may be those from before, and its new `status`.
job_ended = Signal()

# The file of a `job` ends within so many `days`.
file_ending = Signal()
