"""The world outside, one folder a technology; only `entrypoints.container` knows them."""
