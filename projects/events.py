"""What happens to projects that others may want to know. Sent inside the transaction."""

from django.dispatch import Signal

# Before a project's row goes: `project`, `actor`. What hangs on it is settled by the receivers.
project_deleting = Signal()
