"""What a launcher says of a process, and what only half of a launcher says."""

import pytest

from model.errors import SettingsInvalid
from model.training.ranks.launch import launch_of

_OF_TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
}


def test_a_rank_is_what_torchrun_says() -> None:
    """Its number, of how many, and of how many on its machine."""
    launch = launch_of(_OF_TORCHRUN)

    assert launch is not None
    assert (launch.rank, launch.size, launch.local_rank, launch.per_machine) == (3, 4, 1, 2)
    assert launch.address == "10.0.0.1:29500"


@pytest.mark.parametrize("environment", [{}, {**_OF_TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}])
def test_one_process_needs_no_others(environment: dict[str, str]) -> None:
    """Without a launcher, and where it started a single rank."""
    assert launch_of(environment) is None


@pytest.mark.parametrize("missing", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_half_a_launcher_is_refused(missing: str) -> None:
    """The error names what is not set."""
    environment = {name: value for name, value in _OF_TORCHRUN.items() if name != missing}

    with pytest.raises(SettingsInvalid, match=f"{missing} is not set; start the ranks"):
        launch_of(environment)


@pytest.mark.parametrize("wrong", [{"RANK": "4"}, {"RANK": "first"}, {"LOCAL_RANK": "2"}])
def test_numbers_that_cannot_be_are_refused(wrong: dict[str, str]) -> None:
    """A rank that is not one of so many."""
    with pytest.raises(SettingsInvalid, match="which cannot be"):
        launch_of(_OF_TORCHRUN | wrong)
