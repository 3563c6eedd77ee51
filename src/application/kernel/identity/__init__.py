"""Logging in and out, by password and through providers, and what keeps a session going."""
