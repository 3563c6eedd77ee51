"""The world outside, one folder a technology; only `entrypoints.kernel.container` knows them."""
