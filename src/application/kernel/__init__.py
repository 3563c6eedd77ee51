"""What upstream gives every service: how use cases run, and those of identity and tenancy."""
