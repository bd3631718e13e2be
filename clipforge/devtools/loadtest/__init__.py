"""The parts of `manage.py loadtest`. The load itself is in `locustfiles`, which knows only HTTP."""
