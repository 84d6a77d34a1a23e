"""Restarts of the broker while everything else runs."""

from collections.abc import Callable
from threading import Lock, Thread

from deploy.kafka.broker import LocalBroker


class BrokerFaults:
    """Restarts the broker in threads, one restart after the other."""

    def __init__(self, broker: LocalBroker) -> None:
        self.num_stops = self.num_kills = 0
        self._broker = broker
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._failures: list[Exception] = []

    def stop(self) -> None:
        """Shut the broker down cleanly and start it again."""
        self.num_stops += 1
        self._beside(self._broker.restart)

    def kill(self) -> None:
        """Kill the broker and start it again."""
        self.num_kills += 1
        self._beside(self._kill)

    def wait(self) -> None:
        """Return when the broker is up.

        Raises:
            BrokerError: it did not come back.
        """
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _kill(self) -> None:
        self._broker.kill()
        self._broker.start()

    def _beside(self, fault: Callable[[], None]) -> None:
        thread = Thread(target=self._locked, args=(fault,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _locked(self, fault: Callable[[], None]) -> None:
        with self._lock:
            try:
                fault()
            except Exception as error:  # noqa: BLE001  # raised in the thread that waits
                self._failures.append(error)
