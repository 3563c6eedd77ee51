"""Events: how they are stored with what they tell of, and how they are delivered."""
