"""The worlds of the contract suite: in memory, and PostgreSQL."""

from kernel.contracts.test_repositories import begin, team, world  # noqa: F401 (fixtures, which pytest finds here)
