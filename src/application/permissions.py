"""What may be done in a workspace beside the kernel's permissions, and which role may do it."""

from application.kernel.permissions import ADMINS, MEMBERS, Permission

WRITE_TASKS = Permission("tasks:write", MEMBERS)
WRITE_COMMENTS = Permission("comments:write", MEMBERS)
MODERATE_COMMENTS = Permission("comments:moderate", ADMINS)
WRITE_NOTES = Permission("notes:write", MEMBERS)
