"""What people can do with users, workspaces, memberships and invitations."""
