"""The rules of the specimen."""
