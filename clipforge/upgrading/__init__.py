"""An upgrade before it is done: its migrations, and whether this machine and these settings are ready for it.

`statements` reads SQL, `schema` the migrations that are pending, `readiness` the rest. Nothing here
changes anything.
"""
