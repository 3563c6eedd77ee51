"""The way in for programs: HTTP, JSON and RFC 9457 problems."""
