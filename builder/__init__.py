"""Writes a resource in every ring, as a person of this house would (`make resource`)."""
