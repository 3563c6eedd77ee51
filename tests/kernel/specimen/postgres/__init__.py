"""The specimen's tables, repositories and queries."""
