"""A second version of the API, as a fork would begin one: one route differs, the others are inherited."""
