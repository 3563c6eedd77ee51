"""What people do with the specimen."""
