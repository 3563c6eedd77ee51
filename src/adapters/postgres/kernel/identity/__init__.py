"""The tables of credentials, sessions, providers' accounts, signing keys and counted attempts."""
