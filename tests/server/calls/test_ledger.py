"""What callers have left, kept by one process or shared by several."""

import os
from collections.abc import Iterator

import pytest

from server.calls.ledger import Account, Ledger, LocalLedger, SharedLedger, shared_memory


@pytest.fixture
def memory() -> Iterator[int]:
    """Memory that three processes share."""
    descriptor = shared_memory(3)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(params=["local", "shared"])
def ledger(request: pytest.FixtureRequest, memory: int) -> Ledger:
    """Either kind."""
    return LocalLedger() if request.param == "local" else SharedLedger(memory, 0, 3)


def new() -> Account:
    """Return the account of a caller that is not known."""
    return Account(allowance=5.0, at=1.0)


def test_an_account_is_kept(ledger: Ledger) -> None:
    """By the caller's name."""
    with ledger.account("ann", new()) as account:
        account.allowance, account.at = 2.5, 7.0
        account.num_open += 1

    with ledger.account("bob", new()) as account:
        assert account == new()
    with ledger.account("ann", new()) as account:
        assert account == Account(allowance=2.5, at=7.0, num_open=1)


def test_many_callers_take_no_more_memory(ledger: Ledger) -> None:
    """Those that were away for longest are forgotten."""
    for number in range(20_000):
        with ledger.account(f"caller {number}", new()) as account:
            account.at, account.allowance = float(number), 0.5

    with ledger.account("caller 19999", new()) as account:
        assert account.allowance == 0.5
    with ledger.account("caller 0", new()) as account:
        assert account.allowance == 5.0


def test_processes_share_what_a_caller_has_left(memory: int) -> None:
    """One spends of what the other left; open calls are those at both."""
    first, second = SharedLedger(memory, 0, 3), SharedLedger(memory, 1, 3)
    for ledger in (first, second, second):
        with ledger.account("ann", new()) as account:
            account.allowance -= 1
            account.num_open += 1

    with first.account("ann", new()) as account:
        assert (account.allowance, account.num_open) == (2.0, 3)
        account.num_open -= 1
    with second.account("ann", new()) as account:
        assert account.num_open == 2


def test_open_calls_of_a_process_that_died_are_forgotten(memory: int) -> None:
    """Once it comes again; those at the others stay."""
    first, second = SharedLedger(memory, 0, 3), SharedLedger(memory, 1, 3)
    for ledger in (first, second, second):
        with ledger.account("ann", new()) as account:
            account.num_open += 1

    again = SharedLedger(memory, 1, 3)

    for ledger in (first, again):
        with ledger.account("ann", new()) as account:
            assert account.num_open == 1


def test_one_process_waits_for_another(memory: int) -> None:
    """Two that spend at once spend both."""
    number = 500
    child = os.fork()
    ledger = SharedLedger(memory, 0 if child else 1, 3)
    for _ in range(number):
        with ledger.account("ann", new()) as account:
            account.allowance -= 1
            account.num_open += 1
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

    with ledger.account("ann", new()) as account:
        assert account.allowance == 5.0 - 2 * number
        assert account.num_open == 2 * number
