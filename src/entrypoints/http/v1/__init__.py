"""Version 1 of the API: one module a resource, each with a `router` that `app.py` discovers."""
