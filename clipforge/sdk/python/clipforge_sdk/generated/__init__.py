"""Made by `manage.py generate_sdk` from the schema of the API: not to be edited."""
