"""What people can do: functions that change things, each in one transaction."""
