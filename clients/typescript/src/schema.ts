// Made by `make client` from the OpenAPI document; an edit here is lost.

export interface paths {
    "/v1/admin/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List audit
         * @description Administrators may list all that is security relevant, the newest first.
         */
        get: operations["list_audit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/admin/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List users
         * @description Support and administrators may list all users.
         */
        get: operations["list_users"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/admin/users/{user_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get user
         * @description Support and administrators may see any user.
         */
        get: operations["get_user"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /**
         * Change roles
         * @description A user who manages users may change another user's roles in the whole service.
         */
        patch: operations["change_roles"];
        trace?: never;
    };
    "/v1/admin/users/{user_id}/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * End sessions of
         * @description A user who manages users may end all sessions of any user; who may log in can open new ones.
         *
         *     What an external provider's tokens open is no session of ours, and goes on: suspend the user.
         */
        delete: operations["end_sessions_of"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/admin/users/{user_id}/suspension": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Suspend user
         * @description A user who manages users may suspend another: their sessions and open invitations end.
         *
         *     They cannot log in, and what was mailed to them to prove an address or to reset the password is void.
         */
        post: operations["suspend_user"];
        /**
         * Restore user
         * @description A user who manages users may restore a suspended one, who has to log in anew.
         */
        delete: operations["restore_user"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/cookie": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get CSRF token
         * @description For pages of the origins that CORS allows: what shows that a change was asked for by one of them.
         */
        get: operations["get_csrf_token"];
        put?: never;
        /**
         * Open cookie session
         * @description As the built-in provider's log-in, with the same refusals, for a browser.
         */
        post: operations["open_cookie_session"];
        /**
         * End cookie session
         * @description Logs out: ends the cookie's session, and has the browser forget the cookie.
         */
        delete: operations["end_cookie_session"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/email-change/reversal": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Undo email change
         * @description The holder of the secret that was mailed to the former address may undo the change in seven days.
         *
         *     Until the new address is confirmed, it is only pending no more. Afterwards the old one is the user's
         *     again, and all of their sessions end; refused when another user has proved it by now.
         */
        post: operations["undo_email_change"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/email-verification": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Request email verification
         * @description Everybody may have the mail sent again that proves their address; refused when it is proved.
         *
         *     After too many it has to wait.
         */
        post: operations["request_email_verification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/email-verification/confirmation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Confirm email
         * @description Proves the address of the user who is logged in, by the mailed secret, once; good for a day.
         *
         *     A pending address is the user's from then on, in place of the one before; refused when another user
         *     has proved it by now.
         *
         *     Not by the secret alone: else an attacker registers an address that is another person's, and has its
         *     owner confirm it.
         */
        post: operations["confirm_email"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/exchange": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Exchange code
         * @description The code of a log-in is good for one use, within a minute, by the client that began it.
         */
        post: operations["exchange_code"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/introspect": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Introspect token
         * @description The services that the settings name may ask; for those that cannot verify a token by themselves.
         *
         *     It tells of access tokens of the built-in provider only.
         */
        post: operations["introspect_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/login": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log in
         * @description Takes the same time and gives the same answer for a wrong password and an unknown address.
         *
         *     After too many failures of one account, or from one network address, it has to wait; with the
         *     `device_token` of an earlier log-in to the account, only after too many from this device.
         */
        post: operations["log_in"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/logout": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log out
         * @description Ends the session that the access token belongs to; refused for a token that has none.
         *
         *     Its access tokens are refused within seconds.
         */
        post: operations["log_out"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/logout/all": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log out everywhere
         * @description Everybody may end all of their sessions at once, this one too; they are told by mail.
         *
         *     It takes a fresh proof of who they are: else the holder of a stolen token could lock its owner out.
         */
        post: operations["log_out_everywhere"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/password-reset": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Request password reset
         * @description Anybody may ask; a mail with a secret, good for an hour, goes to the address if anybody has it.
         *
         *     The answer and the work are the same if no user has. After too many it has to wait.
         */
        post: operations["request_password_reset"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/password-reset/confirmation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Reset password
         * @description The holder of the mailed secret may set a password, once.
         *
         *     It ends all of the user's sessions, and proves the address. The device from which it is done is known
         *     from then on, and strangers' failures are forgotten: they cannot lock out an owner who reads the mail.
         */
        post: operations["reset_password"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/providers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get login providers
         * @description What one can log in through, beside a password.
         */
        get: operations["get_login_providers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/providers/{name}/authorize": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Begin login
         * @description Anybody may log in; refused where the way back does not lead to our own front end.
         *
         *     With tokens, `challenge` is the S256 of a secret that the application keeps (RFC 7636 §4.2). A `fresh`
         *     log-in asks the provider not to let anybody in who is only logged in there from before.
         */
        get: operations["begin_login"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/providers/{name}/callback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Finish login
         * @description Leads the browser back to where it began, once; what went wrong is told to the application.
         *
         *     That is also that it began more than ten minutes ago, or has been finished before. Refused where this
         *     browser has not begun it: then there is no page to tell. After too many failures from one network
         *     address the provider is not asked, and the application is told that it has to wait.
         */
        get: operations["finish_login"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/reauthentication": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Reauthenticate user
         * @description Everybody who has a password may prove with it that it is they who send requests.
         *
         *     The token goes along as `Reauthentication-Token` with requests that ask for a fresh proof. After too
         *     many wrong passwords it has to wait.
         */
        post: operations["reauthenticate_user"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/refresh": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Refresh tokens
         * @description Each refresh token is good for one use, which may be repeated for some seconds: the answer is lost
         *     at times, and tabs do not wait for each other. A later second use ends the session for everybody.
         */
        post: operations["refresh_tokens"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/register": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Register user
         * @description Anybody may register with an e-mail address that no user has verified.
         *
         *     A password has at least 15 characters. A mail asks to prove the address. After too many registrations
         *     from one network address it has to wait.
         */
        post: operations["register_user"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/revoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Revoke token
         * @description The holder of a refresh token or an access token may end its session; an unknown token is no error.
         */
        post: operations["revoke_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List sessions
         * @description Everybody may list their own open sessions, the newest first.
         */
        get: operations["list_sessions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/sessions/{session_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get session
         * @description Everybody may see their own open sessions.
         */
        get: operations["get_session"];
        put?: never;
        post?: never;
        /**
         * End session
         * @description Everybody may end their own sessions; another's, or one that has ended, is not to be found.
         *
         *     One that is not the request's own takes a fresh proof of who they are, and they are told by mail.
         */
        delete: operations["end_session"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/auth/token": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Issue token
         * @description The same as logging in and refreshing, for tools that speak OAuth; for first-party clients alone.
         *
         *     Errors are problems that have OAuth's `error` as a further member.
         */
        post: operations["issue_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/comments/{comment_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get comment
         * @description Any member may see a comment.
         */
        get: operations["get_comment"];
        put?: never;
        post?: never;
        /**
         * Delete comment
         * @description Its author may delete a comment while they may comment there at all; owners and admins anybody's.
         */
        delete: operations["delete_comment"];
        options?: never;
        head?: never;
        /**
         * Edit comment
         * @description Its author may edit a comment for 15 minutes, while they may comment there at all.
         */
        patch: operations["edit_comment"];
        trace?: never;
    };
    "/v1/invitations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List my invitations
         * @description Everybody may list the open invitations to their own address if it is verified, the newest first.
         */
        get: operations["list_my_invitations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/invitations/acceptance": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Accept invitation
         * @description A user who has verified the invited address may accept with the secret that was mailed there, once.
         *
         *     Refused before that, when the invitation has expired, when its workspace is archived, and for a member.
         */
        post: operations["accept_invitation"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/invitations/{invitation_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get invitation
         * @description Owners and admins may see an open invitation, and so may the user who has verified its address.
         */
        get: operations["get_invitation"];
        put?: never;
        post?: never;
        /**
         * Withdraw invitation
         * @description Owners and admins may withdraw an invitation that has not been accepted.
         */
        delete: operations["withdraw_invitation"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get profile
         * @description Everybody may see their own profile.
         */
        get: operations["get_profile"];
        put?: never;
        post?: never;
        /**
         * Delete own account
         * @description Everybody may delete their own account; it takes a fresh proof of who they are, and cannot be undone.
         *
         *     Their memberships, the invitations that they gave, their links, their password, all secrets that were
         *     mailed to them and their sessions end, and all their tokens are refused. Address and name are gone; what
         *     others need stays, as that of a deleted user. The address, where it was verified, is told by mail.
         *
         *     Refused while a workspace has no other owner: make another member an owner first, or delete it.
         */
        delete: operations["delete_own_account"];
        options?: never;
        head?: never;
        /**
         * Edit profile
         * @description Everybody may edit their own profile; another e-mail address takes a fresh proof of who they are.
         *
         *     It is `pending_email` until what is mailed there is confirmed; until then the address stays as it is, and
         *     what is mailed to it, where it is verified, undoes the change for seven days. With the present address
         *     nothing is pending any more.
         */
        patch: operations["edit_profile"];
        trace?: never;
    };
    "/v1/me/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get account export
         * @description Everybody may have all that is here of themselves, as one document; it takes a fresh proof.
         *
         *     A stolen access token is not to take everything at once. There are no secrets in it.
         */
        get: operations["get_account_export"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me/identities": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List identities
         * @description Everybody may list their own, in the order in which they were linked.
         */
        get: operations["list_identities"];
        put?: never;
        /**
         * Link identity
         * @description Everybody may link the account of a provider that they have an access token of.
         *
         *     It is one more way to log in, so it takes a fresh proof of who they are, and they are told by mail.
         *     Refused when it is another user's, unless that user came into being by such a token and did nothing
         *     yet: then the two become one.
         */
        post: operations["link_identity"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me/identities/{link_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get identity
         * @description Everybody may see their own.
         */
        get: operations["get_identity"];
        put?: never;
        post?: never;
        /**
         * Unlink identity
         * @description Everybody may unlink their own; refused when there would be no other way left to log in.
         *
         *     It takes a fresh proof of who they are, and they are told by mail.
         */
        delete: operations["unlink_identity"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/me/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Change password
         * @description A user who knows the current password may change it, which ends their other sessions.
         *
         *     After too many wrong ones it has to wait.
         */
        post: operations["change_password"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/notes/{note_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get note
         * @description Any member may see a note.
         */
        get: operations["get_note"];
        put?: never;
        post?: never;
        /**
         * Delete note
         * @description Any member but a viewer may delete a note.
         */
        delete: operations["delete_note"];
        options?: never;
        head?: never;
        /**
         * Edit note
         * @description Any member but a viewer may edit a note.
         */
        patch: operations["edit_note"];
        trace?: never;
    };
    "/v1/notifications": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List notifications
         * @description Everybody may list their own notifications, the newest first.
         */
        get: operations["list_notifications"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/notifications/{notification_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get notification
         * @description Everybody may see their own notifications.
         */
        get: operations["get_notification"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /**
         * Mark notification
         * @description Everybody may mark their own notifications as read, and as unread again.
         */
        patch: operations["mark_notification"];
        trace?: never;
    };
    "/v1/tasks/{task_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get task
         * @description Any member may see a task.
         */
        get: operations["get_task"];
        put?: never;
        post?: never;
        /**
         * Delete task
         * @description Any member but a viewer may delete a task, with its comments.
         */
        delete: operations["delete_task"];
        options?: never;
        head?: never;
        /**
         * Edit task
         * @description Any member but a viewer may edit a task in whatever status; its assignee must be a member.
         */
        patch: operations["edit_task"];
        trace?: never;
    };
    "/v1/tasks/{task_id}/cancellation": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Cancel task
         * @description Any member but a viewer may cancel a task that is open or in progress.
         */
        post: operations["cancel_task"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task_id}/comments": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List comments
         * @description Any member may list the comments on a task, the oldest first.
         */
        get: operations["list_comments"];
        put?: never;
        /**
         * Add comment
         * @description Any member but a viewer may comment on a task.
         */
        post: operations["add_comment"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task_id}/completion": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Complete task
         * @description Any member but a viewer may complete a task that is open or in progress.
         */
        post: operations["complete_task"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task_id}/reopening": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Reopen task
         * @description Any member but a viewer may reopen a task that is in progress, done or cancelled.
         */
        post: operations["reopen_task"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/tasks/{task_id}/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Start task
         * @description Any member but a viewer may start an open task.
         */
        post: operations["start_task"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/workspaces": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List workspaces
         * @description Everybody may list the workspaces they belong to, archived ones too, the newest first.
         */
        get: operations["list_workspaces"];
        put?: never;
        /**
         * Create workspace
         * @description Everybody may create a workspace, and becomes its owner; refused when the slug is taken.
         *
         *     Without a slug, one is made from the name that no other workspace has.
         */
        post: operations["create_workspace"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get workspace
         * @description Any member may see a workspace.
         */
        get: operations["get_workspace"];
        put?: never;
        post?: never;
        /**
         * Delete workspace
         * @description Owners may delete a workspace with all that is in it, archived or not. There is no way back.
         */
        delete: operations["delete_workspace"];
        options?: never;
        head?: never;
        /**
         * Edit workspace
         * @description Owners and admins may rename a workspace; refused when the slug is taken or it is archived.
         */
        patch: operations["edit_workspace"];
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}/archival": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Archive workspace
         * @description Owners and admins may archive a workspace, which makes it read-only; refused when it is archived.
         */
        post: operations["archive_workspace"];
        /**
         * Restore workspace
         * @description Owners and admins may restore an archived workspace; refused when it is not archived.
         */
        delete: operations["restore_workspace"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List workspace audit
         * @description Owners and admins may list what happened to the workspace and its members, the newest first.
         */
        get: operations["list_workspace_audit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}/dashboard": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get dashboard
         * @description Any member may see the counts over all tasks of a workspace.
         */
        get: operations["get_dashboard"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}/invitations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List invitations
         * @description Owners and admins may list the open invitations, expired ones too, the newest first.
         */
        get: operations["list_invitations"];
        put?: never;
        /**
         * Invite member
         * @description Owners and admins may invite an address, but only owners an owner; a mail there has the secret.
         *
         *     Refused when a member has verified the address, and when it has an open invitation; an expired one is
         *     replaced.
         */
        post: operations["invite_member"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}/members": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List members
         * @description Any member may list the members, in the order in which they joined.
         */
        get: operations["list_members"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}/members/{user_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get member
         * @description Any member may see a member.
         */
        get: operations["get_member"];
        put?: never;
        post?: never;
        /**
         * Remove member
         * @description Everybody may leave; owners and admins may remove others, but only owners an owner.
         *
         *     Their open invitations end with it. Refused when it would leave the workspace without an owner, and for
         *     others while it is archived.
         */
        delete: operations["remove_member"];
        options?: never;
        head?: never;
        /**
         * Change role
         * @description Owners and admins may change a member's role, but only owners that of an owner or to owner.
         *
         *     Open invitations that the member could not give any more end with it. Refused when it would leave the
         *     workspace without an owner.
         */
        patch: operations["change_role"];
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}/notes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List notes
         * @description Any member may list the notes.
         */
        get: operations["list_notes"];
        put?: never;
        /**
         * Create note
         * @description Any member but a viewer may create a note.
         */
        post: operations["create_note"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/workspaces/{workspace_id}/tasks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List tasks
         * @description Any member may list the tasks.
         */
        get: operations["list_tasks"];
        put?: never;
        /**
         * Create task
         * @description Any member but a viewer may create a task; its assignee must be a member.
         */
        post: operations["create_task"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description The secret that was mailed to the invited address. */
        Acceptance: {
            token: string;
        };
        /**
         * @description All that the service has of the user who is logged in.
         *
         *     Each part has `most` items at most; `incomplete` names those of which there are more, which the part's own
         *     list has, page by page. `workspaces` are those that the user is a member of, `invitations` those to their
         *     verified address. `more` has what the service has beside, by the names of its parts.
         */
        AccountExport: {
            /** Format: date-time */
            exported_at: string;
            most: number;
            incomplete: string[];
            profile: components["schemas"]["Profile"];
            identities: components["schemas"]["LinkView"][];
            sessions: components["schemas"]["SessionView"][];
            workspaces: components["schemas"]["WorkspaceView"][];
            invitations: components["schemas"]["InvitationView"][];
            more: {
                [key: string]: unknown[];
            };
        };
        /**
         * @description What happened: to which user, `by` whom, in which workspace, each `null` where there is none.
         *
         *     `count` is how often within an hour, from `at` until `last_at`. `account` stands for an address that has
         *     no account. `channel` is the way in, `address` and `agent` are the client's own, of several the first
         *     one's; `request_id` is that of the log.
         */
        AuditEntry: {
            /** Format: uuid */
            id: string;
            /** Format: date-time */
            at: string;
            count: number;
            /** Format: date-time */
            last_at: string;
            kind: string;
            reason: string | null;
            user_id: string | null;
            account: string | null;
            by: string | null;
            workspace_id: string | null;
            channel: components["schemas"]["Channel"];
            address: string;
            agent: string;
            request_id: string;
            details: {
                [key: string]: string;
            };
        };
        /**
         * @description The ways in.
         * @enum {string}
         */
        Channel: "http" | "worker" | "cli" | "service";
        /** @description What a comment says. */
        CommentText: {
            /** @example Which cards does it take? */
            body: string;
        };
        /** @description A comment with its author's present name. */
        CommentView: {
            /** Format: uuid */
            id: string;
            /** Format: uuid */
            task_id: string;
            /** Format: uuid */
            author_id: string;
            author_name: string;
            body: string;
            /** Format: date-time */
            created_at: string;
            edited_at: string | null;
            version: number;
        };
        /** @description Who wants to log in. */
        Credentials: {
            /**
             * Format: email
             * @example ada@example.com
             */
            email: string;
            /** @example violet kettle hums at dawn */
            password: string;
            /** @description What the answer to an earlier log-in on this device had: strangers' failures do not count then. */
            device_token?: string;
        };
        /** @description What goes along as `X-CSRF-Token` with every change, as long as the session lasts. */
        CsrfToken: {
            csrf_token: string;
            /** Format: date-time */
            expires_at: string;
        };
        /**
         * @description Counts over the tasks of a workspace.
         *
         *     `by_status` counts all of them, `by_priority` the active ones (open or in progress), `overdue` the
         *     active ones whose time has passed. `finished` has an entry for each of the last 30 days in UTC, the
         *     oldest first and today included. `load` has the 100 busiest assignees, the busiest first.
         */
        Dashboard: {
            by_status: {
                [key: string]: number;
            };
            by_priority: {
                [key: string]: number;
            };
            overdue: number;
            finished: components["schemas"]["FinishedOn"][];
            load: components["schemas"]["Load"][];
        };
        /** @description The code that the browser brought back, and the secret of `challenge`. */
        Exchange: {
            code: string;
            verifier: string;
        };
        /** @description How many of the tasks that are done now were finished on a day (UTC). */
        FinishedOn: {
            /** Format: date */
            day: string;
            count: number;
        };
        /** @description Whose password is to be reset. */
        Forgetting: {
            /**
             * Format: email
             * @example ada@example.com
             */
            email: string;
        };
        /**
         * @description The role of a user in the whole service, beside their roles in workspaces.
         * @enum {string}
         */
        GlobalRole: "support" | "admin";
        /** @description What an access token of the built-in provider says (RFC 7662 §2.2). Of any other: `active` is false. */
        Introspection: {
            active: boolean;
            iss?: string | null;
            sub?: string | null;
            aud?: string | null;
            client_id?: string | null;
            exp?: number | null;
            iat?: number | null;
            sid?: string | null;
            token_type?: string | null;
        };
        /** @description An open invitation, expired ones included; its secret is in the mail alone. */
        InvitationView: {
            /** Format: uuid */
            id: string;
            /** Format: uuid */
            workspace_id: string;
            workspace_name: string;
            email: string;
            role: components["schemas"]["Role"];
            /** Format: uuid */
            invited_by: string;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            expires_at: string;
            version: number;
        };
        /** @description What a client keeps; `device_token` comes with the password grant alone, to go along with the next. */
        IssuedTokens: {
            access_token: string;
            refresh_token: string;
            token_type: string;
            expires_in: number;
            device_token?: string | null;
        };
        /** @enum {string} */
        Kind: "task_assigned";
        /** @description An account of a provider with which the user can log in. */
        LinkView: {
            /** Format: uuid */
            id: string;
            issuer: string;
            subject: string;
            /** Format: date-time */
            created_at: string;
            version: number;
        };
        /** @description The open and started tasks of one assignee; `null` for those without an assignee. */
        Load: {
            assignee_id: string | null;
            display_name: string | null;
            active: number;
            overdue: number;
        };
        /**
         * @description What a client keeps of a log-in. It sends `device_token` along when it logs in there again: then
         *     strangers' failures do not count against it.
         */
        LoggedIn: {
            access_token: string;
            refresh_token: string;
            token_type: string;
            expires_in: number;
            device_token: string;
        };
        /** @description A provider that one can log in through: `name` is its part in our addresses. */
        LoginProviderView: {
            name: string;
            issuer: string;
        };
        /** @description All of them, in the order of the settings. */
        LoginProviders: {
            items: components["schemas"]["LoginProviderView"][];
        };
        /** @description One person in a workspace, as the other members see them: with an address if they have verified it. */
        MemberView: {
            /** Format: uuid */
            workspace_id: string;
            /** Format: uuid */
            user_id: string;
            display_name: string;
            email: string | null;
            role: components["schemas"]["Role"];
            /** Format: date-time */
            joined_at: string;
            version: number;
        };
        /**
         * @description What a log-in ends in.
         * @enum {string}
         */
        Mode: "tokens" | "cookie";
        /** @description Whom to invite, and as what. */
        NewInvitation: {
            /**
             * Format: email
             * @example grace@example.com
             */
            email: string;
            role: components["schemas"]["Role"];
        };
        /** @description Proof that an account of a provider is the caller's. */
        NewLink: {
            /** @description An access token that the provider has issued for this API. */
            token: string;
        };
        /** @description A note to create. */
        NewNote: {
            /** @example First title */
            title: string;
            /** @example A body of some words. */
            body?: string;
        };
        /** @description A task to create. */
        NewTask: {
            /** @example Weave algebraic patterns */
            title: string;
            /** @example The engine can arrange and combine. */
            description?: string;
            priority?: components["schemas"]["Priority"];
            due_at?: string | null;
            assignee_id?: string | null;
            labels?: string[];
        };
        /** @description A workspace to create. */
        NewWorkspace: {
            /** @example Analytical Engines */
            name: string;
            /**
             * @description Unique in the whole service. Without one it is made from the name, and gets letters by chance behind it
             *     where another workspace has that.
             */
            slug?: string | null;
        };
        /** @description What of a note is to change. */
        NotePatch: {
            /** @example First title */
            title?: string;
            /** @example A body of some words. */
            body?: string;
        };
        /** @description A note. Times are UTC. */
        NoteView: {
            /** Format: uuid */
            id: string;
            /** Format: uuid */
            workspace_id: string;
            title: string;
            body: string;
            /** Format: uuid */
            created_by: string;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            updated_at: string;
            version: number;
        };
        /** @description What happened, to which task, and who did it, by the names they have now. */
        NotificationView: {
            /** Format: uuid */
            id: string;
            kind: components["schemas"]["Kind"];
            /** Format: uuid */
            workspace_id: string;
            /** Format: uuid */
            task_id: string;
            task_title: string;
            /** Format: uuid */
            caused_by: string;
            caused_by_name: string;
            /** Format: date-time */
            created_at: string;
            read_at: string | null;
            version: number;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        AuditEntryPage: {
            items: components["schemas"]["AuditEntry"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        CommentViewPage: {
            items: components["schemas"]["CommentView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        InvitationViewPage: {
            items: components["schemas"]["InvitationView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        LinkViewPage: {
            items: components["schemas"]["LinkView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        MemberViewPage: {
            items: components["schemas"]["MemberView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        NoteViewPage: {
            items: components["schemas"]["NoteView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        NotificationViewPage: {
            items: components["schemas"]["NotificationView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        SessionViewPage: {
            items: components["schemas"]["SessionView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        TaskViewPage: {
            items: components["schemas"]["TaskView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        UserViewPage: {
            items: components["schemas"]["UserView"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        WorkspaceAuditEntryPage: {
            items: components["schemas"]["WorkspaceAuditEntry"][];
            next: string | null;
            total: number | null;
        };
        /**
         * @description One page. `next` is the cursor of the page after it; `null` on the last one.
         *
         *     `total` counts what is in the whole list with its filters, at the instant of this page; `null` unless it
         *     was asked for.
         */
        WorkspaceViewPage: {
            items: components["schemas"]["WorkspaceView"][];
            next: string | null;
            total: number | null;
        };
        /** @description The password so far, and from now on. */
        PasswordChange: {
            /** @example violet kettle hums at dawn */
            current_password: string;
            /** @example violet kettle hums at dawn */
            new_password: string;
        };
        /** @description The password of the user who is logged in. */
        PasswordProof: {
            /** @example violet kettle hums at dawn */
            password: string;
        };
        /** @description The secret that was mailed, and the password from now on. */
        PasswordReset: {
            token: string;
            /** @example violet kettle hums at dawn */
            password: string;
        };
        /**
         * @description From the least to the most; a list sorted by priority follows this order.
         * @enum {string}
         */
        Priority: "low" | "normal" | "high" | "urgent";
        /**
         * @description The user who is logged in. The address is `null` where a provider did not tell it.
         *
         *     `pending_email` takes its place once it is proved; until then it is good for no log-in.
         */
        Profile: {
            /** Format: uuid */
            id: string;
            email: string | null;
            email_verified: boolean;
            pending_email: string | null;
            display_name: string;
            roles: components["schemas"]["GlobalRole"][];
            /** Format: date-time */
            created_at: string;
            version: number;
        };
        /** @description What of a profile is to change. */
        ProfilePatch: {
            /** @example Ada Lovelace */
            display_name?: string;
            /**
             * Format: email
             * @example ada@example.com
             */
            email?: string;
        };
        /** @description The secret that was mailed. */
        Proof: {
            token: string;
        };
        /** @description Whether it has been read. */
        Reading: {
            read: boolean;
        };
        /**
         * @description What shows with further requests of this session that the password was given.
         *
         *     `expires_in` counts the seconds for which it does.
         */
        ReauthenticationToken: {
            token: string;
            expires_in: number;
        };
        /** @description The refresh token of the answer before. */
        Refreshing: {
            refresh_token: string;
        };
        /** @description Who wants an account. */
        Registration: {
            /**
             * Format: email
             * @example ada@example.com
             */
            email: string;
            /**
             * @description Anything long enough that not everybody knows: several words make a good one.
             * @example violet kettle hums at dawn
             */
            password: string;
            /** @example Ada Lovelace */
            display_name: string;
        };
        /**
         * @description Which part of the address tells the application how it went.
         * @enum {string}
         */
        ResponseMode: "fragment" | "query";
        /**
         * @description What a member is, from the least to the most.
         * @enum {string}
         */
        Role: "viewer" | "member" | "admin" | "owner";
        /** @description What a member is to become. */
        RoleChange: {
            role: components["schemas"]["Role"];
        };
        /** @description What a user is to be in the whole service: these roles and no others. */
        RolesChange: {
            roles: components["schemas"]["GlobalRole"][];
        };
        /**
         * @description What the client keeps of a session.
         * @enum {string}
         */
        SessionKind: "tokens" | "cookie";
        /**
         * @description A log-in that goes on: with `agent`, what the client called itself. `current` is the one that asks.
         *
         *     `used_at` is the log-in or the latest use that was recorded: a refresh, and with a cookie, where idle
         *     sessions end, now and then a request.
         */
        SessionView: {
            /** Format: uuid */
            id: string;
            kind: components["schemas"]["SessionKind"];
            agent: string;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            used_at: string;
            /** Format: date-time */
            expires_at: string;
            current: boolean;
            version: number;
        };
        /** @enum {string} */
        Status: "open" | "in_progress" | "done" | "cancelled";
        /** @description What of a task is to change; `null` takes a due date or an assignee away. */
        TaskPatch: {
            /** @example Weave algebraic patterns */
            title?: string;
            /** @example The engine can arrange and combine. */
            description?: string;
            priority?: components["schemas"]["Priority"];
            due_at?: string | null;
            assignee_id?: string | null;
            labels?: string[];
        };
        /** @description A task. Times are UTC; `finished_at` is set exactly while it is done. */
        TaskView: {
            /** Format: uuid */
            id: string;
            /** Format: uuid */
            workspace_id: string;
            title: string;
            description: string;
            status: components["schemas"]["Status"];
            priority: components["schemas"]["Priority"];
            due_at: string | null;
            assignee_id: string | null;
            labels: string[];
            /** Format: uuid */
            created_by: string;
            /** Format: date-time */
            created_at: string;
            /** Format: date-time */
            updated_at: string;
            finished_at: string | null;
            version: number;
        };
        /** @description What a client keeps: `expires_in` counts the seconds of the access token (RFC 6749 §5.1). */
        TokenPair: {
            access_token: string;
            refresh_token: string;
            token_type: string;
            expires_in: number;
        };
        /** @description A user, as those see them who look after the service. A deleted one is suspended as well, for good. */
        UserView: {
            /** Format: uuid */
            id: string;
            email: string | null;
            email_verified: boolean;
            display_name: string;
            roles: components["schemas"]["GlobalRole"][];
            /** Format: date-time */
            created_at: string;
            suspended_at: string | null;
            deleted_at: string | null;
            version: number;
        };
        /**
         * @description What happened in a workspace: to which user, and `by` whom, each `null` where there is none.
         *
         *     From where it was done is not shown: where their members are is none of a workspace's business.
         */
        WorkspaceAuditEntry: {
            /** Format: uuid */
            id: string;
            /** Format: date-time */
            at: string;
            kind: string;
            user_id: string | null;
            by: string | null;
            details: {
                [key: string]: string;
            };
        };
        /** @description What of a workspace is to change. */
        WorkspacePatch: {
            /** @example Analytical Engines */
            name?: string;
            /** @example analytical-engines */
            slug?: string;
        };
        /** @description A workspace as one of its members sees it; `role` is the viewer's own. */
        WorkspaceView: {
            /** Format: uuid */
            id: string;
            name: string;
            slug: string;
            role: components["schemas"]["Role"];
            /** Format: date-time */
            created_at: string;
            archived_at: string | null;
            version: number;
        };
        /**
         * @description What is wrong with one part of a request.
         *
         *     `pointer` is a JSON pointer as a URI fragment (RFC 6901 §6): into the body, or where the part is not of
         *     the body `#/query/…` or `#/path/…`.
         */
        FieldError: {
            pointer: string;
            code: string;
            detail: string;
        };
        /**
         * @description Why a request was refused, or failed (RFC 9457). `type` is a page about problems of this kind.
         *
         *     `error` is there where OAuth has a word for it (RFC 6749 §5.2), and `violated-policies` where a quota is
         *     used up (draft-ietf-httpapi-ratelimit-headers-11).
         */
        Problem: {
            "violated-policies"?: string[];
            type: string;
            title: string;
            status: number;
            detail: string;
            instance: string;
            trace_id: string;
            errors?: components["schemas"]["FieldError"][];
            error?: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: {
        /**
         * @description The policies that the request is counted by: `q` requests in any `w` seconds (draft-ietf-httpapi-ratelimit-headers-11).
         * @example "default";q=600;w=60
         */
        "RateLimit-Policy": string;
        /**
         * @description What is left of each: `r` requests for the next `t` seconds; then there are more.
         * @example "default";r=599;t=60
         */
        RateLimit: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    list_audit: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
                /** @description Of any of these kinds. */
                kind?: string[];
                /** @description About this user. */
                user_id?: string;
                /** @description By this user. */
                by?: string;
                /** @description In this workspace. */
                workspace_id?: string;
                /** @description About an address without an account, as another entry names it. */
                account?: string;
                /** @description At this instant or later. */
                since?: string;
                /** @description Before this instant. */
                until?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/admin/audit?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-0f80-7e24-8cf7-f70ef39e1e9b",
                     *           "at": "2026-11-02T09:30:15Z",
                     *           "count": 1,
                     *           "last_at": "2026-11-02T09:30:15Z",
                     *           "kind": "log_in_failed",
                     *           "reason": "wrong_password",
                     *           "user_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "account": null,
                     *           "by": null,
                     *           "workspace_id": null,
                     *           "channel": "http",
                     *           "address": "192.0.2.7",
                     *           "agent": "Mozilla/5.0",
                     *           "request_id": "5f2c1d0e9b8a47c6a3e4d2f1c0b9a887",
                     *           "details": {}
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["AuditEntryPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_users: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
                /** @description How the e-mail address or the name begins, in capital or small letters. */
                q?: string;
                /** @description Only those who are suspended, or only those who are not. */
                suspended?: boolean;
                /** @description Only those whose account is deleted, or only those whose account is there. */
                deleted?: boolean;
                /** @description Who have this role in the whole service. */
                role?: components["schemas"]["GlobalRole"];
                /** @description Names separated by commas; a minus before a name means downwards. Default: `-created_at`. */
                sort?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/admin/users?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "email": "ada@example.com",
                     *           "email_verified": true,
                     *           "display_name": "Ada Lovelace",
                     *           "roles": [
                     *             "support"
                     *           ],
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "suspended_at": null,
                     *           "deleted_at": null,
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["UserViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_user: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the user.
                 * @example 019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                 */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "email": "ada@example.com",
                     *       "email_verified": true,
                     *       "display_name": "Ada Lovelace",
                     *       "roles": [
                     *         "support"
                     *       ],
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "suspended_at": null,
                     *       "deleted_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["UserView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    change_roles: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the user.
                 * @example 019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                 */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "roles": [
                 *         "support"
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["RolesChange"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "email": "ada@example.com",
                     *       "email_verified": true,
                     *       "display_name": "Ada Lovelace",
                     *       "roles": [
                     *         "support"
                     *       ],
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "suspended_at": null,
                     *       "deleted_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["UserView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    end_sessions_of: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the user.
                 * @example 019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                 */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    suspend_user: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the user.
                 * @example 019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                 */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "email": "ada@example.com",
                     *       "email_verified": true,
                     *       "display_name": "Ada Lovelace",
                     *       "roles": [
                     *         "support"
                     *       ],
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "suspended_at": "2026-11-02T09:30:15Z",
                     *       "deleted_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["UserView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    restore_user: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the user.
                 * @example 019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                 */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_csrf_token: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "csrf_token": "5f1d7a84db00d2fce00b31a7fc73224f",
                     *       "expires_at": "2026-12-02T09:30:15Z"
                     *     }
                     */
                    "application/json": components["schemas"]["CsrfToken"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    open_cookie_session: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "email": "ada@example.com",
                 *       "password": "violet kettle hums at dawn",
                 *       "device_token": "Device token"
                 *     }
                 */
                "application/json": components["schemas"]["Credentials"];
            };
        };
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    end_cookie_session: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    undo_email_change: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"
                 *     }
                 */
                "application/json": components["schemas"]["Proof"];
            };
        };
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    request_email_verification: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    confirm_email: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"
                 *     }
                 */
                "application/json": components["schemas"]["Proof"];
            };
        };
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    exchange_code: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "code": "SplxlOBeZQQYbYS6WxSbIA",
                 *       "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
                 *     }
                 */
                "application/json": components["schemas"]["Exchange"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "access_token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiLigKYifQ.c2lnbmF0dXJl",
                     *       "refresh_token": "019a43bc49767a8c866262e7c2196cb7.Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE",
                     *       "token_type": "Bearer",
                     *       "expires_in": 600
                     *     }
                     */
                    "application/json": components["schemas"]["TokenPair"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    introspect_token: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"
                 *     }
                 */
                "application/x-www-form-urlencoded": {
                    token: string;
                    /** @description Not used. */
                    token_type_hint?: string;
                } & {
                    [key: string]: string;
                };
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "active": true,
                     *       "iss": "https://api.example.com",
                     *       "sub": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "aud": "https://api.example.com",
                     *       "client_id": "9b2fbe7c",
                     *       "exp": 1793611815,
                     *       "iat": 1793611215,
                     *       "sid": "019a43bc-4976-7a8c-8662-62e7c2196cb7",
                     *       "token_type": "Bearer"
                     *     }
                     */
                    "application/json": components["schemas"]["Introspection"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    log_in: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "email": "ada@example.com",
                 *       "password": "violet kettle hums at dawn",
                 *       "device_token": "Device token"
                 *     }
                 */
                "application/json": components["schemas"]["Credentials"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "access_token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiLigKYifQ.c2lnbmF0dXJl",
                     *       "refresh_token": "019a43bc49767a8c866262e7c2196cb7.Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE",
                     *       "token_type": "Bearer",
                     *       "expires_in": 600,
                     *       "device_token": "Device token"
                     *     }
                     */
                    "application/json": components["schemas"]["LoggedIn"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    log_out: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    log_out_everywhere: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `token` of `POST /v1/auth/reauthentication`, where a fresh proof of who you are is required; not needed within minutes of a log-in at a provider. */
                "Reauthentication-Token"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    request_password_reset: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "email": "ada@example.com"
                 *     }
                 */
                "application/json": components["schemas"]["Forgetting"];
            };
        };
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    reset_password: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE",
                 *       "password": "violet kettle hums at dawn"
                 *     }
                 */
                "application/json": components["schemas"]["PasswordReset"];
            };
        };
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_login_providers: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "name": "example",
                     *           "issuer": "https://login.example.com"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["LoginProviders"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    begin_login: {
        parameters: {
            query: {
                /**
                 * @description The whole address of a page of ours. It gets `code` or `error`, or with a cookie nothing.
                 * @example https://app.example.com/welcome
                 */
                return_to: string;
                /**
                 * @description `tokens` for a code that `POST /v1/auth/exchange` takes, `cookie` for a session cookie.
                 * @example cookie
                 */
                mode: components["schemas"]["Mode"];
                /** @description With `tokens`: the base64url of the SHA-256 of a secret that the page keeps (RFC 7636, S256). */
                challenge?: string;
                /**
                 * @description Whether the provider shall ask for a new log-in there, so that this one counts as a fresh proof of who
                 *     somebody is.
                 */
                fresh?: boolean;
                /** @description Where `code` and `error` stand; `query` for a page whose server reads them. */
                response_mode?: components["schemas"]["ResponseMode"];
            };
            header?: never;
            path: {
                /**
                 * @description Its name.
                 * @example example
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Found */
            302: {
                headers: {
                    /** @description Where the browser is redirected to. */
                    Location: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    finish_login: {
        parameters: {
            query: {
                /**
                 * @description What the log-in began with.
                 * @example af0ifjsldkjxyz0123456
                 */
                state: string;
                /** @description What proves to the provider that it logged the user in. */
                code?: string;
                /** @description Why it did not. */
                error?: string;
                /** @description Which provider answers (RFC 9207). */
                iss?: string;
            };
            header?: never;
            path: {
                /**
                 * @description Its name.
                 * @example example
                 */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Found */
            302: {
                headers: {
                    /** @description Where the browser is redirected to. */
                    Location: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    reauthenticate_user: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "password": "violet kettle hums at dawn"
                 *     }
                 */
                "application/json": components["schemas"]["PasswordProof"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "token": "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE",
                     *       "expires_in": 600
                     *     }
                     */
                    "application/json": components["schemas"]["ReauthenticationToken"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    refresh_tokens: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "refresh_token": "019a43bc49767a8c866262e7c2196cb7.Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"
                 *     }
                 */
                "application/json": components["schemas"]["Refreshing"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "access_token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiLigKYifQ.c2lnbmF0dXJl",
                     *       "refresh_token": "019a43bc49767a8c866262e7c2196cb7.Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE",
                     *       "token_type": "Bearer",
                     *       "expires_in": 600
                     *     }
                     */
                    "application/json": components["schemas"]["TokenPair"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    register_user: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "email": "ada@example.com",
                 *       "password": "violet kettle hums at dawn",
                 *       "display_name": "Ada Lovelace"
                 *     }
                 */
                "application/json": components["schemas"]["Registration"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /**
                     * @description The address of the new resource.
                     * @example /v1/me
                     */
                    Location: string;
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "email": "ada@example.com",
                     *       "email_verified": true,
                     *       "pending_email": "Pending email",
                     *       "display_name": "Ada Lovelace",
                     *       "roles": [],
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["Profile"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    revoke_token: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"
                 *     }
                 */
                "application/x-www-form-urlencoded": {
                    token: string;
                    /** @description Not used. */
                    token_type_hint?: string;
                } & {
                    [key: string]: string;
                };
            };
        };
        responses: {
            /** @description The token has expired, was revoked, or was never valid. */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /** @example {} */
                    "application/json": Record<string, never>;
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_sessions: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/auth/sessions?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-4976-7a8c-8662-62e7c2196cb7",
                     *           "kind": "tokens",
                     *           "agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/145.0",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "used_at": "2026-11-02T09:30:15Z",
                     *           "expires_at": "2026-12-02T09:30:15Z",
                     *           "current": true,
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["SessionViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_session: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the session.
                 * @example 019a43bc-4976-7a8c-8662-62e7c2196cb7
                 */
                session_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-4976-7a8c-8662-62e7c2196cb7",
                     *       "kind": "tokens",
                     *       "agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/145.0",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "used_at": "2026-11-02T09:30:15Z",
                     *       "expires_at": "2026-12-02T09:30:15Z",
                     *       "current": true,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["SessionView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    end_session: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description The `token` of `POST /v1/auth/reauthentication`, where a fresh proof of who you are is required; not needed within minutes of a log-in at a provider. */
                "Reauthentication-Token"?: string;
            };
            path: {
                /**
                 * @description The id of the session.
                 * @example 019a43bc-4976-7a8c-8662-62e7c2196cb7
                 */
                session_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    issue_token: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "grant_type": "password",
                 *       "username": "ada@example.com",
                 *       "password": "violet kettle hums at dawn"
                 *     }
                 */
                "application/x-www-form-urlencoded": {
                    /** @enum {string} */
                    grant_type: "password" | "refresh_token";
                    /** @description The e-mail address. */
                    username?: string;
                    /** Format: password */
                    password?: string;
                    refresh_token?: string;
                    /** @description That of an earlier log-in on this device, if any. */
                    device_token?: string;
                } & {
                    [key: string]: string;
                };
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "access_token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiLigKYifQ.c2lnbmF0dXJl",
                     *       "refresh_token": "019a43bc49767a8c866262e7c2196cb7.Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE",
                     *       "token_type": "Bearer",
                     *       "expires_in": 600,
                     *       "device_token": "Device token"
                     *     }
                     */
                    "application/json": components["schemas"]["IssuedTokens"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_comment: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the comment.
                 * @example 019a43bc-b9da-71c0-854b-4b6689701e65
                 */
                comment_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b9da-71c0-854b-4b6689701e65",
                     *       "task_id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "author_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "author_name": "Ada Lovelace",
                     *       "body": "Which cards does it take?",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "edited_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["CommentView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_comment: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the comment.
                 * @example 019a43bc-b9da-71c0-854b-4b6689701e65
                 */
                comment_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    edit_comment: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the comment.
                 * @example 019a43bc-b9da-71c0-854b-4b6689701e65
                 */
                comment_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "body": "Which cards does it take?"
                 *     }
                 */
                "application/json": components["schemas"]["CommentText"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b9da-71c0-854b-4b6689701e65",
                     *       "task_id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "author_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "author_name": "Ada Lovelace",
                     *       "body": "Which cards does it take?",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "edited_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["CommentView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_my_invitations: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/invitations?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-b76c-74fe-8ac8-c84e2fc2c086",
                     *           "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "workspace_name": "Analytical Engines",
                     *           "email": "grace@example.com",
                     *           "role": "member",
                     *           "invited_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "expires_at": "2026-12-02T09:30:15Z",
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["InvitationViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    accept_invitation: {
        parameters: {
            query?: never;
            header?: {
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"
                 *     }
                 */
                "application/json": components["schemas"]["Acceptance"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /**
                     * @description The address of the new resource.
                     * @example /v1/workspaces/019a43bc-2c52-775b-87c6-c6a6c301282f/members/019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                     */
                    Location: string;
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "user_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "display_name": "Ada Lovelace",
                     *       "email": "ada@example.com",
                     *       "role": "member",
                     *       "joined_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["MemberView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_invitation: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the invitation.
                 * @example 019a43bc-b76c-74fe-8ac8-c84e2fc2c086
                 */
                invitation_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b76c-74fe-8ac8-c84e2fc2c086",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "workspace_name": "Analytical Engines",
                     *       "email": "grace@example.com",
                     *       "role": "member",
                     *       "invited_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "expires_at": "2026-12-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["InvitationView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    withdraw_invitation: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the invitation.
                 * @example 019a43bc-b76c-74fe-8ac8-c84e2fc2c086
                 */
                invitation_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_profile: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "email": "ada@example.com",
                     *       "email_verified": true,
                     *       "pending_email": "Pending email",
                     *       "display_name": "Ada Lovelace",
                     *       "roles": [],
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["Profile"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_own_account: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description The `token` of `POST /v1/auth/reauthentication`, where a fresh proof of who you are is required; not needed within minutes of a log-in at a provider. */
                "Reauthentication-Token"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    edit_profile: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description The `token` of `POST /v1/auth/reauthentication`, where a fresh proof of who you are is required; not needed within minutes of a log-in at a provider. */
                "Reauthentication-Token"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "display_name": "Ada Lovelace",
                 *       "email": "ada@example.com"
                 *     }
                 */
                "application/json": components["schemas"]["ProfilePatch"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "email": "ada@example.com",
                     *       "email_verified": true,
                     *       "pending_email": "Pending email",
                     *       "display_name": "Ada Lovelace",
                     *       "roles": [],
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["Profile"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_account_export: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `token` of `POST /v1/auth/reauthentication`, where a fresh proof of who you are is required; not needed within minutes of a log-in at a provider. */
                "Reauthentication-Token"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description It is to be kept as a file (RFC 6266).
                     * @example attachment; filename="account.json"
                     */
                    "Content-Disposition": string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "exported_at": "2026-11-02T09:30:15Z",
                     *       "most": 1,
                     *       "incomplete": [
                     *         "Incomplete"
                     *       ],
                     *       "profile": {
                     *         "id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *         "email": "ada@example.com",
                     *         "email_verified": true,
                     *         "pending_email": "Pending email",
                     *         "display_name": "Ada Lovelace",
                     *         "roles": [],
                     *         "created_at": "2026-11-02T09:30:15Z",
                     *         "version": 1
                     *       },
                     *       "identities": [
                     *         {
                     *           "id": "019a43bc-fc5f-7756-83a6-a668546a5404",
                     *           "issuer": "https://login.example.com",
                     *           "subject": "248289761001",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "version": 1
                     *         }
                     *       ],
                     *       "sessions": [
                     *         {
                     *           "id": "019a43bc-4976-7a8c-8662-62e7c2196cb7",
                     *           "kind": "tokens",
                     *           "agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/145.0",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "used_at": "2026-11-02T09:30:15Z",
                     *           "expires_at": "2026-12-02T09:30:15Z",
                     *           "current": true,
                     *           "version": 1
                     *         }
                     *       ],
                     *       "workspaces": [
                     *         {
                     *           "id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "name": "Analytical Engines",
                     *           "slug": "analytical-engines",
                     *           "role": "member",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "archived_at": null,
                     *           "version": 1
                     *         }
                     *       ],
                     *       "invitations": [
                     *         {
                     *           "id": "019a43bc-b76c-74fe-8ac8-c84e2fc2c086",
                     *           "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "workspace_name": "Analytical Engines",
                     *           "email": "grace@example.com",
                     *           "role": "member",
                     *           "invited_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "expires_at": "2026-12-02T09:30:15Z",
                     *           "version": 1
                     *         }
                     *       ],
                     *       "more": {}
                     *     }
                     */
                    "application/json": components["schemas"]["AccountExport"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_identities: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/me/identities?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-fc5f-7756-83a6-a668546a5404",
                     *           "issuer": "https://login.example.com",
                     *           "subject": "248289761001",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["LinkViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    link_identity: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `token` of `POST /v1/auth/reauthentication`, where a fresh proof of who you are is required; not needed within minutes of a log-in at a provider. */
                "Reauthentication-Token"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "Zk3vQm1rT8yWb5uXn0cLp7sHd2fGj6aE"
                 *     }
                 */
                "application/json": components["schemas"]["NewLink"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /**
                     * @description The address of the new resource.
                     * @example /v1/me/identities/019a43bc-fc5f-7756-83a6-a668546a5404
                     */
                    Location: string;
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-fc5f-7756-83a6-a668546a5404",
                     *       "issuer": "https://login.example.com",
                     *       "subject": "248289761001",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["LinkView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_identity: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the link.
                 * @example 019a43bc-fc5f-7756-83a6-a668546a5404
                 */
                link_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-fc5f-7756-83a6-a668546a5404",
                     *       "issuer": "https://login.example.com",
                     *       "subject": "248289761001",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["LinkView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    unlink_identity: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description The `token` of `POST /v1/auth/reauthentication`, where a fresh proof of who you are is required; not needed within minutes of a log-in at a provider. */
                "Reauthentication-Token"?: string;
            };
            path: {
                /**
                 * @description The id of the link.
                 * @example 019a43bc-fc5f-7756-83a6-a668546a5404
                 */
                link_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    change_password: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "current_password": "violet kettle hums at dawn",
                 *       "new_password": "violet kettle hums at dawn"
                 *     }
                 */
                "application/json": components["schemas"]["PasswordChange"];
            };
        };
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_note: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the note.
                 * @example 019a43bc-a30f-7b2e-8b77-7704f0eefe24
                 */
                note_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-a30f-7b2e-8b77-7704f0eefe24",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "First title",
                     *       "body": "A body of some words.",
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["NoteView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_note: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the note.
                 * @example 019a43bc-a30f-7b2e-8b77-7704f0eefe24
                 */
                note_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    edit_note: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the note.
                 * @example 019a43bc-a30f-7b2e-8b77-7704f0eefe24
                 */
                note_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "title": "First title",
                 *       "body": "A body of some words."
                 *     }
                 */
                "application/json": components["schemas"]["NotePatch"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-a30f-7b2e-8b77-7704f0eefe24",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "First title",
                     *       "body": "A body of some words.",
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["NoteView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_notifications: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
                /** @description Only those that have not been read, or only those that have. */
                unread?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/notifications?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-0da4-7872-866c-6cea68d68bc4",
                     *           "kind": "task_assigned",
                     *           "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "task_id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *           "task_title": "Weave algebraic patterns",
                     *           "caused_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "caused_by_name": "Ada Lovelace",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "read_at": null,
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["NotificationViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_notification: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the notification.
                 * @example 019a43bc-0da4-7872-866c-6cea68d68bc4
                 */
                notification_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-0da4-7872-866c-6cea68d68bc4",
                     *       "kind": "task_assigned",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "task_id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "task_title": "Weave algebraic patterns",
                     *       "caused_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "caused_by_name": "Ada Lovelace",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "read_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["NotificationView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    mark_notification: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the notification.
                 * @example 019a43bc-0da4-7872-866c-6cea68d68bc4
                 */
                notification_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "read": true
                 *     }
                 */
                "application/json": components["schemas"]["Reading"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-0da4-7872-866c-6cea68d68bc4",
                     *       "kind": "task_assigned",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "task_id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "task_title": "Weave algebraic patterns",
                     *       "caused_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "caused_by_name": "Ada Lovelace",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "read_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["NotificationView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_task: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "Weave algebraic patterns",
                     *       "description": "The engine can arrange and combine.",
                     *       "status": "open",
                     *       "priority": "low",
                     *       "due_at": "2026-11-02T09:30:15Z",
                     *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "labels": [
                     *         "loom"
                     *       ],
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "finished_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["TaskView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_task: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    edit_task: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "title": "Weave algebraic patterns",
                 *       "description": "The engine can arrange and combine.",
                 *       "priority": "low",
                 *       "due_at": "2026-11-02T09:30:15Z",
                 *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                 *       "labels": [
                 *         "loom"
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["TaskPatch"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "Weave algebraic patterns",
                     *       "description": "The engine can arrange and combine.",
                     *       "status": "open",
                     *       "priority": "low",
                     *       "due_at": "2026-11-02T09:30:15Z",
                     *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "labels": [
                     *         "loom"
                     *       ],
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "finished_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["TaskView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    cancel_task: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "Weave algebraic patterns",
                     *       "description": "The engine can arrange and combine.",
                     *       "status": "cancelled",
                     *       "priority": "low",
                     *       "due_at": "2026-11-02T09:30:15Z",
                     *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "labels": [
                     *         "loom"
                     *       ],
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "finished_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["TaskView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_comments: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
            };
            header?: never;
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/tasks/019a43bc-2424-71d3-8789-896076e54b52/comments?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-b9da-71c0-854b-4b6689701e65",
                     *           "task_id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *           "author_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "author_name": "Ada Lovelace",
                     *           "body": "Which cards does it take?",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "edited_at": null,
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["CommentViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    add_comment: {
        parameters: {
            query?: never;
            header?: {
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "body": "Which cards does it take?"
                 *     }
                 */
                "application/json": components["schemas"]["CommentText"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /**
                     * @description The address of the new resource.
                     * @example /v1/comments/019a43bc-b9da-71c0-854b-4b6689701e65
                     */
                    Location: string;
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b9da-71c0-854b-4b6689701e65",
                     *       "task_id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "author_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "author_name": "Ada Lovelace",
                     *       "body": "Which cards does it take?",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "edited_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["CommentView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    complete_task: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "Weave algebraic patterns",
                     *       "description": "The engine can arrange and combine.",
                     *       "status": "done",
                     *       "priority": "low",
                     *       "due_at": "2026-11-02T09:30:15Z",
                     *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "labels": [
                     *         "loom"
                     *       ],
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "finished_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["TaskView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    reopen_task: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "Weave algebraic patterns",
                     *       "description": "The engine can arrange and combine.",
                     *       "status": "open",
                     *       "priority": "low",
                     *       "due_at": "2026-11-02T09:30:15Z",
                     *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "labels": [
                     *         "loom"
                     *       ],
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "finished_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["TaskView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    start_task: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the task.
                 * @example 019a43bc-2424-71d3-8789-896076e54b52
                 */
                task_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "Weave algebraic patterns",
                     *       "description": "The engine can arrange and combine.",
                     *       "status": "in_progress",
                     *       "priority": "low",
                     *       "due_at": "2026-11-02T09:30:15Z",
                     *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "labels": [
                     *         "loom"
                     *       ],
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "finished_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["TaskView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_workspaces: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/workspaces?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "name": "Analytical Engines",
                     *           "slug": "analytical-engines",
                     *           "role": "member",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "archived_at": null,
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["WorkspaceViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    create_workspace: {
        parameters: {
            query?: never;
            header?: {
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Analytical Engines",
                 *       "slug": "analytical-engines"
                 *     }
                 */
                "application/json": components["schemas"]["NewWorkspace"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /**
                     * @description The address of the new resource.
                     * @example /v1/workspaces/019a43bc-2c52-775b-87c6-c6a6c301282f
                     */
                    Location: string;
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "name": "Analytical Engines",
                     *       "slug": "analytical-engines",
                     *       "role": "member",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "archived_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["WorkspaceView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_workspace: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "name": "Analytical Engines",
                     *       "slug": "analytical-engines",
                     *       "role": "member",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "archived_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["WorkspaceView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    delete_workspace: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    edit_workspace: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Analytical Engines",
                 *       "slug": "analytical-engines"
                 *     }
                 */
                "application/json": components["schemas"]["WorkspacePatch"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "name": "Analytical Engines",
                     *       "slug": "analytical-engines",
                     *       "role": "member",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "archived_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["WorkspaceView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    archive_workspace: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "name": "Analytical Engines",
                     *       "slug": "analytical-engines",
                     *       "role": "member",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "archived_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["WorkspaceView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    restore_workspace: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_workspace_audit: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
                /** @description Of any of these kinds. */
                kind?: string[];
                /** @description About this user. */
                user_id?: string;
                /** @description By this user. */
                by?: string;
                /** @description At this instant or later. */
                since?: string;
                /** @description Before this instant. */
                until?: string;
            };
            header?: never;
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/workspaces/019a43bc-2c52-775b-87c6-c6a6c301282f/audit?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-6a85-7977-8a25-25030d6f575a",
                     *           "at": "2026-11-02T09:30:15Z",
                     *           "kind": "member_role_changed",
                     *           "user_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "details": {
                     *             "role": "admin"
                     *           }
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["WorkspaceAuditEntryPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_dashboard: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "by_status": {
                     *         "open": 1,
                     *         "in_progress": 1,
                     *         "done": 1,
                     *         "cancelled": 1
                     *       },
                     *       "by_priority": {
                     *         "low": 1,
                     *         "normal": 1,
                     *         "high": 1,
                     *         "urgent": 1
                     *       },
                     *       "overdue": 1,
                     *       "finished": [
                     *         {
                     *           "day": "2026-11-02",
                     *           "count": 1
                     *         }
                     *       ],
                     *       "load": [
                     *         {
                     *           "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "display_name": "Ada Lovelace",
                     *           "active": 1,
                     *           "overdue": 1
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Dashboard"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_invitations: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
            };
            header?: never;
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/workspaces/019a43bc-2c52-775b-87c6-c6a6c301282f/invitations?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-b76c-74fe-8ac8-c84e2fc2c086",
                     *           "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "workspace_name": "Analytical Engines",
                     *           "email": "grace@example.com",
                     *           "role": "member",
                     *           "invited_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "expires_at": "2026-12-02T09:30:15Z",
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["InvitationViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    invite_member: {
        parameters: {
            query?: never;
            header?: {
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "email": "grace@example.com",
                 *       "role": "member"
                 *     }
                 */
                "application/json": components["schemas"]["NewInvitation"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /**
                     * @description The address of the new resource.
                     * @example /v1/invitations/019a43bc-b76c-74fe-8ac8-c84e2fc2c086
                     */
                    Location: string;
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-b76c-74fe-8ac8-c84e2fc2c086",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "workspace_name": "Analytical Engines",
                     *       "email": "grace@example.com",
                     *       "role": "member",
                     *       "invited_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "expires_at": "2026-12-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["InvitationView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_members: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
            };
            header?: never;
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/workspaces/019a43bc-2c52-775b-87c6-c6a6c301282f/members?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "user_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "display_name": "Ada Lovelace",
                     *           "email": "ada@example.com",
                     *           "role": "member",
                     *           "joined_at": "2026-11-02T09:30:15Z",
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["MemberViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_member: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have: if it is still so, the answer is 304. */
                "If-None-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
                /**
                 * @description The id of the user.
                 * @example 019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                 */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "user_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "display_name": "Ada Lovelace",
                     *       "email": "ada@example.com",
                     *       "role": "member",
                     *       "joined_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["MemberView"];
                };
            };
            /** @description Your copy is up to date. */
            304: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    remove_member: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
                /**
                 * @description The id of the user.
                 * @example 019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                 */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description No Content */
            204: {
                headers: {
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    change_role: {
        parameters: {
            query?: never;
            header?: {
                /** @description The `ETag` of what you have read, or its `version` in quotes: if it is no longer so, 412. */
                "If-Match"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
                /**
                 * @description The id of the user.
                 * @example 019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9
                 */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "role": "member"
                 *     }
                 */
                "application/json": components["schemas"]["RoleChange"];
            };
        };
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "user_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "display_name": "Ada Lovelace",
                     *       "email": "ada@example.com",
                     *       "role": "member",
                     *       "joined_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["MemberView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_notes: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
                /** @description Words in title or body, in the manner of a web search: `"exact words"`, `-without`, `or`. */
                q?: string;
                /** @description Names separated by commas; a minus before a name means downwards. Default: `-created_at`. */
                sort?: string;
            };
            header?: never;
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/workspaces/019a43bc-2c52-775b-87c6-c6a6c301282f/notes?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-a30f-7b2e-8b77-7704f0eefe24",
                     *           "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "title": "First title",
                     *           "body": "A body of some words.",
                     *           "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "updated_at": "2026-11-02T09:30:15Z",
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["NoteViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    create_note: {
        parameters: {
            query?: never;
            header?: {
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "title": "First title",
                 *       "body": "A body of some words."
                 *     }
                 */
                "application/json": components["schemas"]["NewNote"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /**
                     * @description The address of the new resource.
                     * @example /v1/notes/019a43bc-a30f-7b2e-8b77-7704f0eefe24
                     */
                    Location: string;
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-a30f-7b2e-8b77-7704f0eefe24",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "First title",
                     *       "body": "A body of some words.",
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["NoteView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_tasks: {
        parameters: {
            query?: {
                /** @description Items on the page, at most. */
                limit?: number;
                /** @description `next` of the page before, which had the same filters and sort. */
                cursor?: string;
                /** @description With `exact` the answer's `total` says how many items there are on all pages; it takes longer then. */
                count?: "exact";
                /** @description In any of these statuses. */
                status?: components["schemas"]["Status"][];
                /** @description Of any of these priorities. */
                priority?: components["schemas"]["Priority"][];
                /** @description Assigned to this user. */
                assignee_id?: string;
                /** @description With this label. */
                label?: string;
                /** @description Due at this instant or later. */
                due_after?: string;
                /** @description Due before this instant. */
                due_before?: string;
                /** @description Words in title or description, in the manner of a web search: `"exact words"`, `-without`, `or`. */
                q?: string;
                /** @description Names separated by commas; a minus before a name means downwards. Default: `-created_at`. */
                sort?: string;
            };
            header?: never;
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    /**
                     * @description The next page, where there is one (RFC 8288).
                     * @example </v1/workspaces/019a43bc-2c52-775b-87c6-c6a6c301282f/tasks?cursor=eyJjIjoiMjAyNi0xMS0wMiJ9>; rel="next"
                     */
                    Link?: string;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "items": [
                     *         {
                     *           "id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *           "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *           "title": "Weave algebraic patterns",
                     *           "description": "The engine can arrange and combine.",
                     *           "status": "open",
                     *           "priority": "low",
                     *           "due_at": "2026-11-02T09:30:15Z",
                     *           "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "labels": [
                     *             "loom"
                     *           ],
                     *           "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *           "created_at": "2026-11-02T09:30:15Z",
                     *           "updated_at": "2026-11-02T09:30:15Z",
                     *           "finished_at": null,
                     *           "version": 1
                     *         }
                     *       ],
                     *       "next": null,
                     *       "total": null
                     *     }
                     */
                    "application/json": components["schemas"]["TaskViewPage"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    create_task: {
        parameters: {
            query?: never;
            header?: {
                /** @description A new one for each new request, such as a UUID. If no answer arrives, send the request again with the same key: it is done once, and answered alike for a day. */
                "Idempotency-Key"?: string;
            };
            path: {
                /**
                 * @description The id of the workspace.
                 * @example 019a43bc-2c52-775b-87c6-c6a6c301282f
                 */
                workspace_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "title": "Weave algebraic patterns",
                 *       "description": "The engine can arrange and combine.",
                 *       "priority": "low",
                 *       "due_at": "2026-11-02T09:30:15Z",
                 *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                 *       "labels": [
                 *         "loom"
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["NewTask"];
            };
        };
        responses: {
            /** @description Created */
            201: {
                headers: {
                    /**
                     * @description The address of the new resource.
                     * @example /v1/tasks/019a43bc-2424-71d3-8789-896076e54b52
                     */
                    Location: string;
                    /**
                     * @description Identifies this version of this representation (RFC 9110 §8.8.3).
                     * @example "1-51f0c5ad0f3e2b61"
                     */
                    ETag: string;
                    /** @description This is the stored response to an earlier request with the same key. */
                    "Idempotency-Replayed"?: "true";
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019a43bc-2424-71d3-8789-896076e54b52",
                     *       "workspace_id": "019a43bc-2c52-775b-87c6-c6a6c301282f",
                     *       "title": "Weave algebraic patterns",
                     *       "description": "The engine can arrange and combine.",
                     *       "status": "open",
                     *       "priority": "low",
                     *       "due_at": "2026-11-02T09:30:15Z",
                     *       "assignee_id": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "labels": [
                     *         "loom"
                     *       ],
                     *       "created_by": "019a43bc-b142-7fcd-8f1e-1eaadb7fd5d9",
                     *       "created_at": "2026-11-02T09:30:15Z",
                     *       "updated_at": "2026-11-02T09:30:15Z",
                     *       "finished_at": null,
                     *       "version": 1
                     *     }
                     */
                    "application/json": components["schemas"]["TaskView"];
                };
            };
            /** @description The request cannot be read. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Authentication is required. */
            401: {
                headers: {
                    /**
                     * @description How to authenticate (RFC 9110 §11.6.1).
                     * @example Bearer
                     */
                    "WWW-Authenticate": string;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description You are not allowed to do this. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource does not exist, or you cannot see it. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request conflicts with the current state of the resource. */
            409: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The resource has changed since you read it. */
            412: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is of the wrong media type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is not valid. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There were too many requests. */
            429: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service failed. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service, or something it depends on, is overloaded or unavailable. */
            503: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request, or something the service depends on, took too long. */
            504: {
                headers: {
                    /**
                     * @description Seconds to wait before the next attempt.
                     * @example 1
                     */
                    "Retry-After": number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
