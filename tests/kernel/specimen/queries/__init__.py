"""What people can ask about the specimen."""
