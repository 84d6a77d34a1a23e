"""Which core a worker has for itself."""

import os


def core_of(number: int, workers: int) -> int | None:
    """Return the core that a worker keeps to, where there are as many cores as workers;
    None: any.

    A worker keeps one core busy. Left to itself the system moves it, and now and then
    has two on one core (`docs/decisions/0057-a-core-for-each-worker.md`).

    Args:
        number: of the worker, from 0.
        workers: how many there are.
    """
    cores = sorted(os.sched_getaffinity(0))  # those that this process may use
    return cores[number] if len(cores) == workers else None


def keep_to(pid: int, core: int | None) -> None:
    """Have a process that was just started, and all threads that it will have, keep to
    a core; where the system says no, or it has ended, nothing happens.

    Args:
        pid: the process.
        core: which; None: it may use any.
    """
    if core is None:
        return
    try:
        os.sched_setaffinity(pid, {core})
    except OSError:
        return
