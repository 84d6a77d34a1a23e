"""Questions and answers between two processes, here the two ends of one."""

import os
import socket
from collections.abc import Iterator, Mapping
from threading import Event, Thread
from typing import Any

import pytest

from server.workers.channel import Asking, ChannelClosed, QuestionFailed, answer_until_closed

DEADLINE_SECONDS = 60.0


class Other:
    """The end that answers."""

    def __init__(self) -> None:
        self.released = Event()

    def answer(
        self, operation: str, question: dict[str, Any], descriptors: list[int]
    ) -> Mapping[str, Any]:
        """Say what was asked; read files; fail; wait."""
        if operation == "fail":
            raise ValueError("no such thing")
        if operation == "wait":
            self.released.wait(DEADLINE_SECONDS)
        texts = []
        for descriptor in descriptors:
            texts.append(os.pread(descriptor, 100, 0).decode())
            os.close(descriptor)
        return {"operation": operation, "question": question, "texts": texts}


@pytest.fixture
def other() -> Other:
    """The end that answers."""
    return Other()


@pytest.fixture
def asking(other: Other) -> Iterator[Asking]:
    """The end that asks."""
    ours, theirs = socket.socketpair()
    thread = Thread(target=answer_until_closed, args=(theirs, other.answer))
    thread.start()
    yield Asking(ours)
    other.released.set()
    ours.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_question_is_answered(asking: Asking) -> None:
    """However long it is."""
    question = {"number": 7, "text": "ä" * 1_000_000}

    answer = asking.ask("say", question, seconds=DEADLINE_SECONDS)

    assert answer == {"operation": "say", "question": question, "texts": []}


def test_open_files_go_with_a_question(asking: Asking) -> None:
    """They are read at the other end, whatever becomes of the ones here."""
    files = [os.memfd_create(f"file {number}") for number in range(100)]
    for number, file in enumerate(files):
        os.write(file, f"text {number}".encode())

    answer = asking.ask("read", seconds=DEADLINE_SECONDS, descriptors=files)
    for file in files:
        os.close(file)

    assert answer["texts"] == [f"text {number}" for number in range(100)]


def test_what_goes_wrong_there_is_told_here(asking: Asking) -> None:
    """And the next question is answered."""
    with pytest.raises(QuestionFailed, match="no such thing"):
        asking.ask("fail", seconds=DEADLINE_SECONDS)

    assert asking.ask("say", seconds=DEADLINE_SECONDS)["operation"] == "say"


def test_an_answer_that_comes_too_late_is_no_other_ones(asking: Asking, other: Other) -> None:
    """It is passed over."""
    with pytest.raises(ChannelClosed, match="within"):
        asking.ask("wait", seconds=0.01)
    other.released.set()

    assert asking.ask("say", seconds=DEADLINE_SECONDS)["operation"] == "say"


def test_nobody_is_there() -> None:
    """Who asks, or has asked, is told at once."""
    ours, theirs = socket.socketpair()
    asking = Asking(ours)

    def go_away() -> None:
        with theirs:
            theirs.recv(1)

    Thread(target=go_away).start()

    with pytest.raises(ChannelClosed):
        asking.ask("say", seconds=DEADLINE_SECONDS)
    with pytest.raises(ChannelClosed):
        asking.ask("say", seconds=DEADLINE_SECONDS)
