"""What `manage.py loadtest` is made of. The load itself is in `locustfiles`, which knows only HTTP."""
