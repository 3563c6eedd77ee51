// Made by `make client` from the OpenAPI document; an edit here is lost.

/** The code of every kind of problem that the service tells of: the last part of its `type`. */
export const PROBLEM_CODES = [
    /** 400: The cursor does not belong to this list, or to these filters and this sort. */
    "invalid-cursor",
    /** 400: The form is not valid. */
    "invalid-form",
    /** 400: The credentials for the token are not valid. */
    "invalid-grant",
    /** 400: The `Idempotency-Key` header is not valid. */
    "invalid-idempotency-key",
    /** 400: `If-Match` must name entity tags, and `If-None-Match` is for reads. */
    "invalid-precondition",
    /** 400: The body is not JSON in UTF-8. */
    "malformed-body",
    /** 400: This is not HTTP. */
    "malformed-request",
    /** 400: Scripts of this origin may not send such a request. */
    "preflight-refused",
    /** 400: This grant type is not supported. */
    "unsupported-grant-type",
    /** 401: The account was deleted after this token was issued; log in again to have a new one. */
    "deleted-meanwhile",
    /** 401: The code has been used, has expired, or does not go with this verifier; log in again. */
    "exchange-refused",
    /** 401: The client is unknown, or its secret is wrong. */
    "invalid-client",
    /** 401: The log-in at the provider was cancelled or refused. */
    "login-denied",
    /** 401: The provider's answer could not be verified; log in again. */
    "login-refused",
    /** 401: This log-in at the provider has been finished before; log in again. */
    "login-used",
    /** 401: The session has ended; log in again. */
    "session-ended",
    /** 401: The account is suspended. */
    "suspended",
    /** 401: Valid credentials are required. */
    "unauthenticated",
    /** 401: The e-mail address or the password is wrong. */
    "wrong-credentials",
    /** 403: The session cookie alone changes nothing: send `X-CSRF-Token` as well. */
    "csrf-token-missing",
    /** 403: This is not the CSRF token of this session; ask for it again. */
    "csrf-token-wrong",
    /** 403: Verify your e-mail address first. */
    "email-not-verified",
    /** 403: You may not do this. */
    "forbidden",
    /** 403: Pages of this origin may not act for a user who is logged in by cookie. */
    "foreign-origin",
    /** 403: Your role does not permit this. */
    "not-permitted",
    /** 403: Only its author may do this to a comment. */
    "not-the-author",
    /** 403: You cannot suspend yourself or change your own roles. */
    "own-account",
    /** 403: Only an owner may make, demote or remove an owner. */
    "owners-only",
    /** 403: This service has no log-in with a password. */
    "passwords-disabled",
    /** 403: This needs a fresh proof of who you are. */
    "reauthentication-required",
    /** 403: The current password is wrong. */
    "wrong-password",
    /** 404: There is no such comment, or it is not in a workspace of yours. */
    "comment-not-found",
    /** 404: There is no such invitation, or it is not for you. */
    "invitation-not-found",
    /** 404: There is no such link to a provider. */
    "link-not-found",
    /** 404: There is no provider of this name to log in with. */
    "login-provider-not-found",
    /** 404: There is no such member in this workspace. */
    "member-not-found",
    /** 404: The resource does not exist, or you cannot see it. */
    "not-found",
    /** 404: There is no such note, or it is not in a workspace of yours. */
    "note-not-found",
    /** 404: There is no such notification, or it is not yours. */
    "notification-not-found",
    /** 404: This has been used, has expired, or was never issued; ask for a new one. */
    "one-time-token-not-found",
    /** 404: There is no resource at this path. */
    "path-not-found",
    /** 404: There is no such session. */
    "session-not-found",
    /** 404: There is no such signing key. */
    "signing-key-not-found",
    /** 404: There is no such task, or it is not in a workspace of yours. */
    "task-not-found",
    /** 404: There is no such user. */
    "user-not-found",
    /** 404: There is no such workspace, or you are not a member of it. */
    "workspace-not-found",
    /** 405: This method is not allowed here; `Allow` lists those that are. */
    "method-not-allowed",
    /** 408: The request did not arrive in time. */
    "request-timed-out",
    /** 409: The account has been deleted; that cannot be undone. */
    "account-deleted",
    /** 409: This address already has an open invitation. */
    "already-invited",
    /** 409: This person is already a member. */
    "already-member",
    /** 409: This request was completed before, and its response can no longer be read. */
    "answer-lost",
    /** 409: The request conflicts with the current state of the resource. */
    "conflict",
    /** 409: A comment can be edited for 15 minutes only. */
    "edit-window-closed",
    /** 409: The e-mail address belongs to another account. */
    "email-taken",
    /** 409: A request with this idempotency key is in progress; try again in a moment. */
    "idempotency-key-in-use",
    /** 409: The invitation has expired; ask for another. */
    "invitation-expired",
    /** 409: This key is in use for signing; add its successor first. */
    "key-in-use",
    /** 409: Another process has added the next signing key. */
    "keys-rotated",
    /** 409: A workspace keeps at least one owner. */
    "last-owner",
    /** 409: This is your only way to log in; set a password or link another account first. */
    "last-way-in",
    /** 409: This account of the provider belongs to another user. */
    "linked-elsewhere",
    /** 409: The task's status does not allow this. */
    "move-not-allowed",
    /** 409: This access token does not belong to a session of this service. */
    "no-session",
    /** 409: There is no address to verify, or it is already verified. */
    "nothing-to-verify",
    /** 409: Another request was faster with this refresh token; go on with the tokens that it was given. */
    "refreshed-elsewhere",
    /** 409: Another workspace has this slug. */
    "slug-taken",
    /** 409: The resource was changed by another request in the meantime. */
    "stale",
    /** 409: The workspace is archived and can only be read. */
    "workspace-archived",
    /** 409: The workspace is not archived. */
    "workspace-not-archived",
    /** 412: It has changed since you read it; read it again and repeat your change. */
    "precondition-failed",
    /** 413: The body is too large. */
    "content-too-large",
    /** 414: The address is too long. */
    "uri-too-long",
    /** 415: The body must be JSON, and `Content-Type` must say so. */
    "unsupported-media-type",
    /** 421: The service does not answer for this host. */
    "misdirected-request",
    /** 422: A task can only be assigned to a member of its workspace. */
    "assignee-not-member",
    /** 422: This idempotency key was already used with another request; a new request needs a new key. */
    "idempotency-key-reused",
    /** 422: The request is not valid. */
    "invalid",
    /** 422: The request is not valid; `errors` says where. */
    "invalid-request",
    /** 422: This log-in was not begun in this browser; begin again. */
    "login-not-begun",
    /** 422: The token was not issued by another provider. */
    "nothing-to-link",
    /** 428: The change needs an `If-Match` header with the version it is made to. */
    "precondition-required",
    /** 429: There were too many requests; try again later. */
    "limited",
    /** 429: The quota of requests is used up. */
    "quota-exceeded",
    /** 429: There were too many attempts; try again later. */
    "too-many-attempts",
    /** 431: The headers are too large. */
    "headers-too-large",
    /** 500: The service failed. */
    "internal-error",
    /** 503: The request conflicted with another one; try again. */
    "contention",
    /** 503: The service is not available now. */
    "not-ready",
    /** 503: The service is stopping; another process may take the request. */
    "shutting-down",
    /** 503: The service has as many connections as it takes. */
    "too-many-connections",
    /** 503: Something the service depends on is not available; try again soon. */
    "unavailable",
    /** 504: The request took too long. */
    "deadline-exceeded",
    /** 504: Something the service depends on took too long. */
    "timed-out",
] as const;

/** The operations that take an `Idempotency-Key`, so that to repeat them does no harm. */
export const KEYED: ReadonlySet<string> = new Set([
    "POST /v1/admin/users/{user_id}/suspension",
    "POST /v1/invitations/acceptance",
    "POST /v1/tasks/{task_id}/cancellation",
    "POST /v1/tasks/{task_id}/comments",
    "POST /v1/tasks/{task_id}/completion",
    "POST /v1/tasks/{task_id}/reopening",
    "POST /v1/tasks/{task_id}/start",
    "POST /v1/workspaces",
    "POST /v1/workspaces/{workspace_id}/archival",
    "POST /v1/workspaces/{workspace_id}/invitations",
    "POST /v1/workspaces/{workspace_id}/notes",
    "POST /v1/workspaces/{workspace_id}/tasks",
]);
