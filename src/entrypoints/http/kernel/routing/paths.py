"""Which of two paths in routes is meant, where both match: that which says more of it by name."""


def variable(path: str) -> tuple[bool, ...]:
    """For each segment whether it is a parameter. Of two paths that match, the smaller is meant."""
    return tuple("{" in segment for segment in path.split("/"))


def hides(path: str, other: str) -> bool:
    """Whether there are addresses that both match and that mean `path`."""
    ours, theirs = path.split("/"), other.split("/")
    alike = len(ours) == len(theirs) and all(
        one == another or "{" in one or "{" in another for one, another in zip(ours, theirs, strict=True)
    )
    return alike and variable(path) < variable(other)
