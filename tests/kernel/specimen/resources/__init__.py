"""The facts of the specimen, as a fork writes those of its resources."""
