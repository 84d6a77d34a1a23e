"""Whether the right process answers at an address, and by which clock."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from freshet.diagnosis.processes import Facts, Problem, ProcessStatus
from freshet.probe import NoMetricsPageError, Samples, Scrape, cause_of, label
from freshet.terminal.output import duration

# Seconds that the clock of a process may be off this machine's: kept clocks are within
# one, and the answer says whole seconds. As in FreshetClockOffset; twice as many miss
# clocks that make every age wrong by two minutes.
_MOST_CLOCK_SECONDS = 60.0

# What a disk must have free, as in FreshetDiskFull: one of the two is enough.
_LEAST_FREE_SHARE, _LEAST_FREE_BYTES = 0.05, 1e9

# What must be left of a certificate, as in FreshetCertificateExpiring and, of one that
# is as good as ended, FreshetCertificateExpired: the less of the two.
_LEAST_SHARE_LEFT, _LEAST_SECONDS_LEFT = 1 / 6, 14 * 86_400.0
_PAGED_SHARE_LEFT, _PAGED_SECONDS_LEFT = 1 / 24, 8 * 3600.0

_PREFIXES = {"refresher": "freshet_refresh_"}
"""How the metrics of a process begin, where that is not its name."""


def answer_of(
    name: str,
    address: str,
    found: Scrape | Exception,
    facts_of: Callable[[Samples], Facts],
    problems_of: Callable[[Facts], list[Problem]] = lambda _: [],
) -> ProcessStatus:
    """Return the status of whatever answers at an address, or does not.

    Args:
        name: of the process that should.
        address: where it was asked.
        found: what it said.
        facts_of: reads its metrics.
        problems_of: what is wrong by its facts, though it works.
    """
    kind = name.partition(" ")[0]
    status = ProcessStatus(name=name, address=address, up=False)
    if isinstance(found, NoMetricsPageError):
        return replace(status, problems=(_not_ours(kind, address, str(found)),))
    if isinstance(found, Exception):
        return replace(status, problems=(_no_answer(kind, address, found),))
    if stranger := _stranger(kind, found.samples):
        return replace(status, problems=(_not_ours(kind, address, stranger),))
    facts = facts_of(found.samples)
    problems = [
        *problems_of(facts),
        *_disks(found.samples),
        *_closed_folders(kind, found.samples),
        *_certificates(found.samples, time.time()),
        *_clock(found.clock_ahead_seconds),
    ]
    return replace(status, up=True, facts=facts, problems=tuple(problems))


def down(status: ProcessStatus, problem: Problem) -> ProcessStatus:
    """Return the status of a process that runs and cannot do its work, for a reason."""
    return replace(status, up=False, problems=(problem, *status.problems))


def _no_answer(kind: str, address: str, error: Exception) -> Problem:
    is_late = isinstance(error, TimeoutError) or "timed out" in cause_of(error)
    step = (
        "something accepts connections there and does not answer: it is frozen, stopped, or has no "
        f"CPU; look at the process, and restart it (freshet {_command(kind)})"
        if is_late
        else f"look at its last line of log, which says why it ended unless something killed it "
        f"(dmesg), and start it again (freshet {_command(kind)}); or give its address, if it is "
        "another"
    )
    text = f"no metrics at {address}: {cause_of(error)}"
    return Problem(text=text, step=step, runbook="FreshetProcessDown")


def _not_ours(kind: str, address: str, stranger: str) -> Problem:
    return Problem(
        text=f"what answers at {address} is not the {kind}: {stranger}",
        step=(
            f"see what listens there; a {kind} that finds its port taken runs without metrics, or "
            "with --metrics ends, and says so in its log: start it with another --metrics, and "
            "tell Prometheus"
        ),
        runbook="FreshetStranger",
    )


def _stranger(kind: str, samples: Samples) -> str:
    """Return who answers instead of a process; empty: it does itself."""
    told = label(samples, "freshet_build_info", "process")
    if told is not None:
        return "" if told == kind else f"it is the {told}"
    prefix = _PREFIXES.get(kind, f"freshet_{kind}_")
    if any(name.startswith(prefix) for name in samples):
        return ""
    return "it has no metric of Freshet"


def _disks(samples: Samples) -> list[Problem]:
    """Return the disks that are full, as in FreshetDiskFull."""
    free, size = (
        {labels["folder"]: value for labels, value in samples.get(f"freshet_disk_{name}_bytes", [])}
        for name in ("free", "size")
    )
    return [
        Problem(
            text=f"the disk of the {folder} has {num_bytes / 1e6:,.0f} MB free",
            step="make room (du -xah --max-depth=2 FOLDER | sort -h | tail), then start again what "
            "has ended",
            runbook="FreshetDiskFull",
        )
        for folder, num_bytes in free.items()
        if num_bytes < min(_LEAST_FREE_BYTES, _LEAST_FREE_SHARE * size.get(folder, 0.0))
    ]


def _closed_folders(kind: str, samples: Samples) -> list[Problem]:
    """Return the folders that a process cannot write to, as in FreshetTunerBlocked.

    A stream ends of it, a refresher says so itself, and a sink writes to none.
    """
    if kind != "tuner":
        return []
    return [
        Problem(
            text=f"the folder of the {labels['folder']} is read-only, or another user's: no "
            "generation can be made",
            step="`mount | grep FOLDER` and `ls -ld FOLDER`; mount -o remount,rw, or give the "
            "rights back",
            runbook="FreshetTunerBlocked",
        )
        for labels, value in samples.get("freshet_disk_writable", [])
        if not value
    ]


def _certificates(samples: Samples, now: float) -> list[Problem]:
    """Return the certificates that end soon, as in FreshetCertificateExpiring, and
    those that have or are about to, as in FreshetCertificateExpired.
    """
    valid_from, expires = (
        {
            labels["setting"]: value
            for labels, value in samples.get(f"freshet_certificate_{name}_timestamp_seconds", [])
        }
        for name in ("valid_from", "expires")
    )
    problems = []
    for setting, end in expires.items():
        left, whole = end - now, end - valid_from.get(setting, math.nan)
        if not left < min(_LEAST_SHARE_LEFT * whole, _LEAST_SECONDS_LEFT):
            continue
        is_paged = left < min(_PAGED_SHARE_LEFT * whole, _PAGED_SECONDS_LEFT)
        told = f"ends in {duration(left)}" if left > 0 else f"ended {duration(-left)} ago"
        problems.append(
            Problem(
                text=f"the certificate of {setting} {told}",
                step="see why it was not renewed (openssl x509 -noout -dates -in FILE), and put a "
                "new one with its key where they are" + _taken(setting),
                runbook="FreshetCertificateExpired" if is_paged else "FreshetCertificateExpiring",
            )
        )
    return problems


def _taken(setting: str) -> str:
    """Return how a process comes by a new certificate."""
    if setting.startswith("stream."):
        return ", then restart this process"
    return ": new connections get it, without a restart"


def _clock(ahead_seconds: float | None) -> list[Problem]:
    if ahead_seconds is None or abs(ahead_seconds) <= _MOST_CLOCK_SECONDS:
        return []
    where = "ahead of" if ahead_seconds > 0 else "behind"
    return [
        Problem(
            text=f"its clock is {duration(abs(ahead_seconds))} {where} this machine's",
            step="compare `date` on both machines, and see whether NTP runs; restart it then",
            runbook="FreshetClockOffset",
        )
    ]


def _command(kind: str) -> str:
    commands: Mapping[str, str] = {
        "tuner": "tune",
        "refresher": "refresh, or freshet tune where its --fresh-every runs it",
        "server": "serve",
    }
    return commands.get(kind, kind)
