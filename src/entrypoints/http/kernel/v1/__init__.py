"""The kernel's routes in version 1 of the API; each module has a `router`."""
