"""The entry point of the `freshet` command: ``python -m freshet`` does the same."""

import sys
import warnings

from freshet import process
from freshet.commands.cli import cli


def main() -> None:
    """Run the command line and exit with its code."""
    if not sys.warnoptions:
        # What libraries warn their developers of is noise to an operator; -W brings it
        # back.
        warnings.simplefilter("ignore")
    sys.exit(process.run(cli))


if __name__ == "__main__":
    main()
