"""Who a call is from, and whether that caller may make it now."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import grpc

from server.calls.call import Call
from server.calls.failure import Failure
from server.calls.ledger import Account, Ledger, LocalLedger
from server.metrics.calls import Refused
from server.security.tokens import TokenFile

_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a call is not let in.

    Attributes:
        reason: for the metric.
        failure: how the call ends.
    """

    reason: Refused
    failure: Failure


class Callers:
    """Knows callers by token, else by certificate, else by address.

    Args:
        tokens: who may call; None: everybody.
        calls_per_second: of one caller, as many at once; 0: any number.
        concurrency: calls that one caller may have open; 0: any number.
        ledger: where callers' accounts are kept; None: by this process alone.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        tokens: TokenFile | None,
        *,
        calls_per_second: float = 0.0,
        concurrency: int = 0,
        ledger: Ledger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._rate = calls_per_second
        self._concurrency = concurrency
        self._clock = clock
        self._ledger = LocalLedger() if ledger is None else ledger

    def admit(self, call: Call) -> Fault | None:
        """Let a call in, and keep count of it until it ends; or return why not."""
        name = ""
        if self._tokens is not None:
            found = self._named(call, self._tokens)
            if isinstance(found, Fault):
                return found
            name = found
        if not (self._rate or self._concurrency):
            return None
        name = call.caller = name or call.identity or call.peer
        with self._ledger.account(name, self._new()) as account:
            if self._rate and not self._spent(account):
                retry_seconds = (1 - account.allowance) / self._rate
                limit = f"{self._rate:g} calls a second"
                return _too_many(Refused.CALLER_RATE, limit, retry_seconds)
            if self._concurrency and account.num_open >= self._concurrency:
                return _too_many(Refused.CALLER_CONCURRENCY, f"{self._concurrency} calls at once")
            account.num_open += 1
        call.on_end(lambda: self._ended(name))
        return None

    def charge(self, call: Call, more: int) -> None:
        """Count a call that was let in as several.

        What a caller has taken beyond its allowance it has to wait for: the next call
        is let in once that is made up for.

        Args:
            call: the call.
            more: calls beside the one that it was counted as when it was let in.
        """
        if not self._rate or more <= 0:
            return
        with self._ledger.account(call.caller, self._new()) as account:
            account.allowance -= more

    def _named(self, call: Call, tokens: TokenFile) -> str | Fault:
        """Return the name of the caller that the token of a call stands for."""
        given = next((value for key, value in call.metadata if key == "authorization"), "")
        text = given if isinstance(given, str) else given.decode("latin-1")
        is_bearer = text[: len(_BEARER)].lower() == _BEARER
        verdict = tokens.verdict(text[len(_BEARER) :].strip() if is_bearer else "")
        if verdict.name:
            return verdict.name
        if verdict.has_expired:
            reason, why = Refused.TOKEN_EXPIRED, "the token has expired; get a new one"
        elif not is_bearer:
            reason, why = Refused.TOKEN_MISSING, "send the metadata authorization: Bearer TOKEN"
        else:
            reason, why = Refused.TOKEN_UNKNOWN, "the token is not known here"
        return _fault(reason, grpc.StatusCode.UNAUTHENTICATED, why)

    def _new(self) -> Account:
        return Account(allowance=max(1.0, self._rate), at=self._clock())

    def _spent(self, account: Account) -> bool:
        """Take a call from a caller's allowance; return False if there is none."""
        now = self._clock()
        most = max(1.0, self._rate)
        account.allowance = min(most, account.allowance + (now - account.at) * self._rate)
        account.at = now
        if account.allowance < 1:
            return False
        account.allowance -= 1
        return True

    def _ended(self, name: str) -> None:
        with self._ledger.account(name, self._new()) as account:
            account.num_open = max(0, account.num_open - 1)


def _too_many(reason: Refused, limit: str, retry_seconds: float = 0.0) -> Fault:
    return _fault(
        reason,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"this caller may make {limit}; make fewer, or have the limit raised",
        retry_ms=math.ceil(1000 * retry_seconds),
    )


def _fault(reason: Refused, code: grpc.StatusCode, message: str, *, retry_ms: int = 0) -> Fault:
    failure = Failure(code=code, message=message, reason=reason.upper(), retry_ms=retry_ms)
    return Fault(reason=reason, failure=failure)
