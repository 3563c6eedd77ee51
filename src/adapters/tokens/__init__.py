"""Access tokens: issuing our own, and finding out whom a token speaks for."""
