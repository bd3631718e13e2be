"""Signals of projects. Sent inside the transaction."""

from django.dispatch import Signal

# Before a project's row goes: `project`, `actor`. What hangs on it is settled by the receivers.
project_deleting = Signal()

# Before a source goes: `project`. A receiver returns True where something that is under way needs it.
source_expiring = Signal()

# Before moments are replaced: `project`. Each receiver returns the ids of those that it needs.
moments_replacing = Signal()

# Before a moment's row goes: `moment`. What names it forgets it.
moment_deleting = Signal()
