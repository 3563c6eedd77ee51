"""What every table is built on, and the tables of identity and tenancy."""
