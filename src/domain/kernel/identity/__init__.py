"""How people show who they are: credentials, sessions, one-time tokens, providers' accounts, signing keys."""
