"""What the built-in provider does with passwords: registering, logging in, changing and resetting them.

Hashing a password takes tens of milliseconds of CPU, so it happens before the transaction opens:
`PasswordLogin` does the slow part, and runs the use cases here for the rest.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from application.kernel.identity import attempts as limits
from application.kernel.identity.addresses import ensure_free, prove_email
from application.kernel.identity.email_changes import take_pending_email, undo_email_change
from application.kernel.identity.failures import Failures
from application.kernel.identity.known_devices import KnownDevices
from application.kernel.identity.places import Places
from application.kernel.identity.secret_tokens import fingerprint
from application.kernel.identity.sessions import TokenPair, TokenSessions
from application.kernel.ports.attempts import Attempts, Peer
from application.kernel.ports.callers import Caller
from application.kernel.ports.sessions import PasswordHasher
from application.kernel.queries.auth import AuthQueries, KnownCredential, PasswordOwner
from application.kernel.run import Runner
from application.kernel.unit_of_work import KernelUnitOfWork
from domain.kernel.aggregate import new_id
from domain.kernel.errors import Invalid, Stale
from domain.kernel.identity.credentials import Credential, PasswordsDisabled, WrongCredentials, WrongPassword
from domain.kernel.identity.identities import LinksRemoved
from domain.kernel.identity.one_time_tokens import (
    NothingToVerify,
    OneTimeToken,
    OneTimeTokenId,
    OneTimeTokenNotFound,
    Purpose,
)
from domain.kernel.identity.passwords import PASSWORD_MOST, acceptable_password
from domain.kernel.users import Email, EmailTaken, Suspended, User, UserId, UserNotFound, email_address

_UNDOING = 5
"""How often the undoing of a change is tried while something else changes."""


async def register_user(uow: KernelUnitOfWork, *, email: str, display_name: str, password_hash: str) -> User:
    """Anybody may register with an e-mail address that no user has verified."""
    await ensure_free(uow, email_address(email))
    user_id = UserId(new_id(uow.now))
    user = await uow.users.add(User.register(id=user_id, email=email, display_name=display_name, at=uow.now))
    await uow.credentials.add(Credential(id=user_id, password_hash=password_hash))
    return user


async def replace_hash(uow: KernelUnitOfWork, user_id: UserId, *, outdated: str, password_hash: str) -> bool:
    """The same password under today's parameters, unless it was changed in the meantime: then False."""
    credential = await uow.credentials.get(user_id)
    if credential.password_hash != outdated:
        return False
    await uow.credentials.save(replace(credential, password_hash=password_hash))
    return True


async def change_password(uow: KernelUnitOfWork, actor: Caller, *, outdated: str, password_hash: str) -> None:
    """Ends the user's other sessions; refused when the password was changed in the meantime.

    What was mailed before to prove an address or to reset the password is void.
    """
    credential = await uow.credentials.get(actor.user_id)
    if credential.password_hash != outdated:
        raise WrongPassword
    await uow.credentials.save(credential.change(password_hash, at=uow.now))
    await uow.sessions.end_all(actor.user_id, at=uow.now, but=actor.session_id)
    await uow.one_time_tokens.void(actor.user_id)


async def request_password_reset(uow: KernelUnitOfWork, *, email: Email) -> None:
    """Anybody may ask; whether a user has the address is looked up later, where no client can measure it."""
    await uow.one_time_tokens.add(
        OneTimeToken.reset_password(id=OneTimeTokenId(new_id(uow.now)), email=email, at=uow.now)
    )


async def reset_password(uow: KernelUnitOfWork, *, token: str, password_hash: str) -> UserId:
    """The holder of the mailed secret may set a password, once; it ends all of the user's sessions.

    A user who never proved the address loses the links to providers as well: their maker may not be
    the one who reads its mail. No address is pending any more, and whatever else was mailed is void.

    Refused when the token has expired, and when the user has another address by now or is suspended.
    """
    found, user = await _redeemed(uow, Purpose.RESET_PASSWORD, token)
    try:
        credential = await uow.credentials.get(user.id)
    except UserNotFound:
        # A user who came through a provider so far has no password yet.
        first = Credential(id=user.id, password_hash="")
        await uow.credentials.add(first.change(password_hash, at=uow.now, reset=True))
    else:
        await uow.credentials.save(credential.change(password_hash, at=uow.now, reset=True))
    await uow.sessions.end_all(user.id, at=uow.now)
    if not user.email_verified:
        # Until now anybody could have claimed the address: what they left as a way in goes with them.
        await uow.links.remove_all(user.id, recording=LinksRemoved(at=uow.now, user_id=user.id))
        await prove_email(uow, user.keep_email(at=uow.now))
    elif user.pending_email is not None:
        await uow.users.save(user.keep_email(at=uow.now))
    await uow.one_time_tokens.remove(found)
    await uow.one_time_tokens.void(user.id)
    return user.id


async def request_email_verification(uow: KernelUnitOfWork, actor: Caller) -> None:
    """Everybody may have the mail sent again that proves their address; refused when it is proved."""
    user = await uow.users.get(actor.user_id)
    if user.email_to_verify is None:
        raise NothingToVerify
    await uow.one_time_tokens.add(
        OneTimeToken.verify_email(
            id=OneTimeTokenId(new_id(uow.now)), user_id=user.id, email=user.email_to_verify, at=uow.now
        ).requested(at=uow.now)
    )


async def confirm_email(uow: KernelUnitOfWork, actor: Caller, *, token: str) -> None:
    """Proves the address by the mailed secret, once; a pending one is the user's from now on.

    Refused when it was mailed to another user, and when it is another's address by now.
    """
    found, user = await _redeemed(uow, Purpose.VERIFY_EMAIL, token)
    if user.id != actor.user_id:
        raise OneTimeTokenNotFound
    await uow.one_time_tokens.remove(found)
    if user.pending_email is not None:
        await take_pending_email(uow, user)
    else:
        await prove_email(uow, user)


async def _redeemed(uow: KernelUnitOfWork, purpose: Purpose, token: str) -> tuple[OneTimeToken, User]:
    """The token that was mailed, and whom to; raises OneTimeTokenNotFound."""
    found = await uow.one_time_tokens.with_token(fingerprint(token))
    if found.user_id is None:
        raise OneTimeTokenNotFound
    try:
        user = await uow.users.get(found.user_id)
        user.ensure_active()
    except (UserNotFound, Suspended):
        raise OneTimeTokenNotFound from None
    proves = purpose is Purpose.VERIFY_EMAIL and user.pending_email
    found.redeem(purpose, email=proves or user.email, at=uow.now)
    return found, user


@dataclass(frozen=True, slots=True)
class LoggedIn(TokenPair):
    """What a client keeps of a log-in. It sends `device_token` along when it logs in there again: then
    strangers' failures do not count against it."""

    device_token: str


class PasswordLogin:
    """The built-in provider, with its slow parts outside of any transaction.

    Where it is not `enabled`, everybody logs in at another provider and all of this raises
    PasswordsDisabled. `service_name` is one of the words that make no password.

    `passwords` hashes for people who are known by their device, their session or a mailed secret,
    `of_strangers` for log-ins from elsewhere, and `of_newcomers` for registrations, by default all the same.
    Each has a queue of its own, so that a flood of one leaves the others alone.
    """

    def __init__(
        self,
        run: Runner[KernelUnitOfWork],
        queries: AuthQueries,
        passwords: PasswordHasher,
        sessions: TokenSessions,
        attempts: Attempts,
        *,
        devices: KnownDevices,
        failures: Failures,
        service_name: str,
        enabled: bool = True,
        of_strangers: PasswordHasher | None = None,
        of_newcomers: PasswordHasher | None = None,
    ) -> None:
        self._run = run
        self._queries = queries
        self._passwords = passwords
        self._sessions = sessions
        self._attempts = attempts
        self._devices = devices
        self._failures = failures
        self._service_name = service_name
        self._enabled = enabled
        self._of_strangers = of_strangers or passwords
        self._of_newcomers = of_newcomers or passwords
        self._places = Places(limits.AT_ONCE)

    async def register(
        self, client: Peer | None = None, /, *, email: str, password: str, display_name: str
    ) -> User:
        """Anybody may register with an e-mail address that no user has verified.

        A password has at least 15 characters. A mail asks to prove the address. After too many registrations
        from one network address it has to wait.
        """
        self._ensure_enabled()
        words = (self._service_name, email, display_name)
        password = acceptable_password(password, words=words)
        email = email_address(email)
        if client is None:  # an operator at the service's console
            return await self._register(email=email, password=password, display_name=display_name)
        with self._places.one_of(f"register {limits.network(client)}"):
            await self._attempts.count(limits.of_registration(client))
            return await self._register(email=email, password=password, display_name=display_name)

    async def log_in(self, client: Peer, /, *, email: str, password: str, device_token: str = "") -> LoggedIn:
        """Takes the same time and gives the same answer for a wrong password and an unknown address.

        After too many failures of one account, or from one network address, it has to wait; with the
        `device_token` of an earlier log-in to the account, only after too many from this device.
        """
        user_id, password_hash = await self.read(
            client, email=email, password=password, device_token=device_token
        )
        pair = await self._sessions.open(user_id, agent=client.agent, password_hash=password_hash)
        device_token = self.device_token(user_id, password_hash=password_hash)
        return LoggedIn(pair.access_token, pair.refresh_token, pair.token_type, pair.expires_in, device_token)

    def device_token(self, user_id: UserId, *, password_hash: str) -> str:
        """By what the device that has just logged in is known from now on."""
        return self._devices.issue(user_id, password_hash=password_hash)

    async def read(
        self, client: Peer, /, *, email: str, password: str, device_token: str = ""
    ) -> tuple[UserId, str]:
        """Whose password it is, and its hash as it is stored now; refused as `log_in` is."""
        self._ensure_enabled()
        address, asked = None, email
        with suppress(Invalid):
            asked = address = email_address(email)
        candidates: Sequence[KnownCredential] | None = None
        device: str | None = None
        if device_token:
            # Whose device it is has to be known before it is known what counts.
            candidates = await self._candidates(address)
            device, candidates = self._of_device(device_token, candidates)
        passwords, bounds, party = self._passwords, limits.of_known_device(device or ""), f"account {asked}"
        if device is None:
            passwords, bounds, party = (
                self._of_strangers,
                limits.of_log_in(asked, client),
                f"log in {limits.network(client)}",
            )
        with self._places.one_of(party):
            # Before anything slow: so no more go over it than wait to be hashed at this instant.
            counted = await self._attempts.check(bounds)
            if candidates is None:
                candidates = await self._candidates(address)
            whose = candidates[0] if candidates else None
            if len(password) > PASSWORD_MOST:
                candidates, password = [], ""
            known = await _matching(passwords, candidates, password)
            if known is None or known.suspended:
                await self._failures.of_password(asked, known or whose, matches=known is not None)
                await self._failures.of_lock(asked, known or whose, await self._attempts.count(bounds))
                raise WrongCredentials
            if bounds[0] in counted:
                await self._attempts.forget(bounds[:1])
            return known.user_id, await self._up_to_date(known.user_id, known.password_hash, password)

    async def change_password(self, actor: Caller, /, *, current_password: str, new_password: str) -> None:
        """A user who knows the current password may change it, which ends their other sessions.

        After too many wrong ones it has to wait.
        """
        known, outdated = await self.confirm(actor, password=current_password)
        password_hash = await self._acceptable_hash(new_password, known, field="new_password")
        await self._run(change_password, actor, outdated=outdated, password_hash=password_hash)

    async def confirm(self, actor: Caller, /, *, password: str) -> tuple[PasswordOwner, str]:
        """Whose current password it is, and its hash; raises WrongPassword, and counts how often.

        Wrong ones are counted for the session, whatever it asks for; after too many it has to wait.
        """
        self._ensure_enabled()
        bounds = limits.of_current_password(actor.user_id, actor.session_id)
        counted = await self._attempts.check(bounds)
        known = await self._queries.known(actor.user_id)
        if len(password) > PASSWORD_MOST:
            known, password = None, ""
        stored = known.password_hash if known else None
        matches = await self._passwords.verify(password, stored)
        if known is None or stored is None or not matches:
            await self._failures.of_proof(actor.user_id, await self._attempts.count(bounds))
            raise WrongPassword
        if bounds[0] in counted:
            await self._attempts.forget(bounds[:1])
        return known, stored

    async def request_password_reset(self, client: Peer, /, *, email: str) -> None:
        """Anybody may ask; a mail with a secret, good for an hour, goes to the address if anybody has it.

        The answer and the work are the same if no user has. After too many it has to wait.
        """
        self._ensure_enabled()
        address = email_address(email)
        await self._attempts.count(limits.of_password_reset(address, client))
        await self._run(request_password_reset, email=address)

    async def reset_password(self, *, token: str, password: str) -> str:
        """The holder of the mailed secret may set a password, once.

        It ends all of the user's sessions, and proves the address. The device from which it is done is known
        from then on, and strangers' failures are forgotten: they cannot lock out an owner who reads the mail.
        """
        self._ensure_enabled()
        known = await self._queries.resetting(fingerprint(token))
        if known is None:
            raise OneTimeTokenNotFound
        password_hash = await self._acceptable_hash(password, known, field="password")
        try:
            user_id = await self._run(reset_password, token=token, password_hash=password_hash)
        except (Stale, EmailTaken) as lost:  # another use, or another proof, at the same time was first
            raise OneTimeTokenNotFound from lost
        if known.email is not None:
            await self._attempts.forget(limits.of_account(known.email))
        return self.device_token(user_id, password_hash=password_hash)

    async def count_change_of_address(self, client: Peer, actor: Caller, /, *, email: str) -> None:
        """Counts that the actor is about to change their address to `email`, unless that is no change.

        Raises TooManyAttempts after too many by this user, or from one network address: each sends a mail to
        the owner of the address.
        """
        known = await self._queries.known(actor.user_id)
        with suppress(Invalid):
            if known is not None and email_address(email) != known.email:
                # One after the other: whom their own limit stops uses up nothing of their network's.
                for bound in limits.of_change_of_address(actor.user_id, client):
                    await self._attempts.count([bound])

    async def request_email_verification(self, actor: Caller, /) -> None:
        """Everybody may have the mail sent again that proves their address; refused when it is proved.

        After too many it has to wait.
        """
        await self._attempts.count(limits.of_email_verification(actor.user_id))
        await self._run(request_email_verification, actor)

    async def confirm_email(self, actor: Caller, /, *, token: str) -> None:
        """Proves the address of the user who is logged in, by the mailed secret, once; good for a day.

        A pending address is the user's from then on, in place of the one before; refused when another user
        has proved it by now.

        Not by the secret alone: else an attacker registers an address that is another person's, and has its
        owner confirm it.
        """
        try:
            await self._run(confirm_email, actor, token=token)
        except (Stale, EmailTaken) as lost:  # another use, or another proof, at the same time was first
            raise OneTimeTokenNotFound from lost

    async def undo_email_change(self, *, token: str) -> None:
        """The holder of the secret that was mailed to the former address may undo the change in seven days.

        Until the new address is confirmed, it is only pending no more. Afterwards the old one is the user's
        again, and all of their sessions end; refused when another user has proved it by now.
        """
        for _ in range(_UNDOING - 1):
            with suppress(Stale):  # a thief of the account can change something else at the same time
                return await self._run(undo_email_change, token=token)
        return await self._run(undo_email_change, token=token)

    async def _register(self, *, email: Email, password: str, display_name: str) -> User:
        password_hash = await self._of_newcomers.hash(password)
        return await self._run(
            register_user, email=email, display_name=display_name, password_hash=password_hash
        )

    async def _candidates(self, address: Email | None) -> Sequence[KnownCredential]:
        return await self._queries.credentials(address) if address is not None else []

    def _of_device(
        self, device_token: str, candidates: Sequence[KnownCredential]
    ) -> tuple[str | None, Sequence[KnownCredential]]:
        """By what the device is counted, and the one account that it is known for; else all candidates."""
        for candidate in candidates:
            device = self._devices.read(device_token, candidate)
            if device is not None:
                return device, [candidate]
        if not candidates:
            self._devices.read(device_token, None)  # as long as with an account
        return None, candidates

    def _ensure_enabled(self) -> None:
        if not self._enabled:
            raise PasswordsDisabled("Log in at the provider.")

    async def _acceptable_hash(self, password: str, known: PasswordOwner, *, field: str) -> str:
        words = (self._service_name, known.email or "", known.display_name)
        return await self._passwords.hash(acceptable_password(password, words=words, field=field))

    async def _up_to_date(self, user_id: UserId, stored: str, password: str) -> str:
        """The good password's hash as it is stored from now on, under today's parameters."""
        if not self._passwords.is_outdated(stored):
            return stored
        password_hash = await self._passwords.hash(password)
        with suppress(Stale):
            if await self._run(replace_hash, user_id, outdated=stored, password_hash=password_hash):
                return password_hash
        # Another log-in at the same time has done the same, or the password is another by now.
        known = await self._queries.known(user_id)
        if known is None or not known.password_hash:
            raise WrongCredentials
        if not await self._passwords.verify(password, known.password_hash):
            raise WrongCredentials
        return known.password_hash


async def _matching(
    passwords: PasswordHasher, candidates: Sequence[KnownCredential], password: str
) -> KnownCredential | None:
    """Whose password it is. Without candidates it takes as long as with one who has another password.

    One after the other, so that a log-in has one place in the queue at a time.
    """
    if not candidates:
        await passwords.verify(password, None)
    for candidate in candidates:
        if await passwords.verify(password, candidate.password_hash):
            return candidate
    return None
