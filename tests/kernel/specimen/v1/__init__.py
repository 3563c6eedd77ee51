"""The specimen's routes in version 1 of the API."""
