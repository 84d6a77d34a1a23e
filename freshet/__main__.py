"""The entry point of the `freshet` command.

``python -m freshet`` does the same, but imports from the folder that it is typed in:
beside a user's own server.py only `freshet` works.
"""

import os
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
    # Python processes that we start, those of multiprocessing among them, must not
    # import a server.py or random.py that happens to lie in the user's folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.exit(process.run(cli))


if __name__ == "__main__":
    main()
