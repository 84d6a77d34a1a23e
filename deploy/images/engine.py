"""Builds images and runs containers by buildah and podman, in a storage of its own."""

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".tools" / "images"
"""Where storage and results are; git ignores it."""

BASE = "localhost/freshet-base:latest"

USER = 10001
"""The user of the images."""

_NEEDED = ("buildah", "podman", "runc", "mmdebstrap")
_PACKAGES = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates,passwd"
_LEFT_OUT = ("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*")
# What the builder trusts counts while images are built, a company's own authority too.
_TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
# Seconds that a container gets to end in before it is killed, twice what the slowest
# process of Freshet takes.
_STOP_SECONDS = 30


class ImagesError(Exception):
    """An image cannot be built here, or does not do what it should."""


class Engine:
    """Images and containers in a storage of their own, beside any that are there.

    Raises:
        ImagesError: a tool is missing, or this user may not run containers.
    """

    def __init__(self) -> None:
        if missing := [name for name in _NEEDED if shutil.which(name) is None]:
            raise ImagesError(
                f"no {', '.join(missing)} found: apt-get install --no-install-recommends "
                + " ".join(_NEEDED)
            )
        if os.geteuid() != 0:
            raise ImagesError("containers share the network of this process: run it as root")
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._storage = (
            f"--root={FOLDER / 'storage'}",
            f"--runroot={FOLDER / 'run'}",
            f"--storage-driver={os.environ.get('STORAGE_DRIVER', 'overlay')}",
        )
        # Which runtime and which cgroups suit a machine differs; these two suit most.
        self._podman = ("podman", *self._storage, "--runtime=runc", "--cgroup-manager=cgroupfs")

    def podman(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run podman.

        Raises:
            ImagesError: it failed; the message has its last lines.
        """
        return _run([*self._podman, *arguments], check=check)

    def make_base(self) -> None:
        """Make the base from Debian's packages, unless it is there.

        It takes the place of python:3.11-slim where no registry of images can be
        reached.
        """
        if self.podman("image", "exists", BASE, check=False).returncode == 0:
            return
        archive = FOLDER / "base.tar"
        _run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=apt",
                f"--include={_PACKAGES}",
                # Nothing of it is kept if the machine fails meanwhile.
                "--dpkgopt=force-unsafe-io",
                # Paths for dpkg to leave out would send each package through a filter.
                f'--customize-hook=cd "$1" && rm -rf {" ".join(_LEFT_OUT)}',
                # As in python:3.11-slim, pip is for whoever builds an image.
                '--customize-hook=rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
                "bookworm",
                str(archive),
            ]
        )
        self.podman("import", str(archive), BASE)
        archive.unlink()

    def build(self, target: str) -> None:
        """Build a target of the Dockerfile as localhost/freshet-TARGET."""
        deploy = ROOT / "deploy"
        trusted = [f"--volume={_TRUSTED}:{_TRUSTED}:ro"] if Path(_TRUSTED).exists() else []
        _run(
            [
                "buildah",
                *self._storage,
                "build",
                "--isolation=chroot",
                "--layers",
                # OCI's own format has no health checks.
                "--format=docker",
                f"--build-arg=BASE={BASE}",
                "--build-arg=BUILD_PACKAGES=g++ python3-dev",
                *trusted,
                f"--ignorefile={deploy / 'Dockerfile.dockerignore'}",
                f"--file={deploy / 'Dockerfile'}",
                f"--target={target}",
                f"--tag={image(target)}",
                str(ROOT),
            ]
        )

    def start(
        self,
        name: str,
        target: str,
        arguments: Sequence[str],
        volumes: Mapping[Path, str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a container as the chart does: nothing but its volumes can be written.

        Args:
            name: of the container.
            target: whose image it runs.
            arguments: in place of the image's own.
            volumes: where each folder is mounted, with ``:ro`` where it is only read.
            environment: more variables, by name.
        """
        command = self.run_command(
            target, arguments, volumes, ("--detach", f"--name={name}"), environment
        )
        _run(command)

    def run_command(
        self,
        target: str,
        arguments: Sequence[str],
        volumes: Mapping[Path, str],
        options: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the command that runs a container as `start` does, with options."""
        # Not all machines may raise limits; podman's own are higher than most.
        files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 8192)
        return [
            *self._podman,
            "run",
            *options,
            "--network=host",
            "--read-only",
            "--read-only-tmpfs=false",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            f"--ulimit=nofile={files}:{files}",
            "--ulimit=nproc=4096:4096",
            *(f"--volume={folder}:{place}" for folder, place in volumes.items()),
            *(f"--env={name}={value}" for name, value in (environment or {}).items()),
            image(target),
            *arguments,
        ]

    def require(self, target: str) -> None:
        """Check that a target's image was built.

        Raises:
            ImagesError: it was not.
        """
        if self.podman("image", "exists", image(target), check=False).returncode:
            raise ImagesError(f"no image {image(target)}: run python -m deploy.images {target}")

    def unhealthy(self, name: str) -> str:
        """Return what the image's own health check says; empty: healthy."""
        checked = self.podman("healthcheck", "run", name, check=False)
        if checked.returncode == 0:
            return ""
        state = json.loads(self.podman("inspect", name).stdout)[0]["State"]
        told = (state.get("Health") or state.get("Healthcheck") or {}).get("Log") or []
        return str(told[-1]["Output"]) if told else (checked.stdout + checked.stderr).strip()

    def wait_until(self, name: str, wanted: str, seconds: float) -> None:
        """Return as soon as a health check says the wanted, empty for healthy.

        Raises:
            ImagesError: it does not in time; the message has its last lines.
        """
        deadline = time.monotonic() + seconds
        while True:
            said = self.unhealthy(name)
            if (wanted in said) if wanted else not said:
                return
            if time.monotonic() > deadline:
                raise ImagesError(f"{name}: {said or 'healthy'}\n{self.logs(name)}")
            time.sleep(0.5)

    def logs(self, name: str) -> str:
        """Return the last lines of a container."""
        logged = self.podman("logs", "--tail=15", name, check=False)
        return logged.stdout + logged.stderr

    def stop(self, name: str) -> int:
        """End a container by SIGTERM, and return its exit code (137: it was killed)."""
        self.podman("stop", f"--time={_STOP_SECONDS}", name)
        return int(self.podman("inspect", "--format={{.State.ExitCode}}", name).stdout)

    def remove(self, name: str) -> None:
        """Remove a container, running or not; nothing if there is none."""
        self.podman("rm", "--force", "--time=0", name, check=False)

    def let_go(self) -> None:
        """Take off what is mounted below the storage, which cannot be removed before.

        A build or a container that was killed leaves its mounts.
        """
        self.podman("umount", "--all", "--force", check=False)
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        mounted = [line.split(" ")[1] for line in lines]
        for folder in reversed(mounted):
            if folder.startswith(f"{FOLDER}/"):
                _run(["umount", folder], check=False)

    def size(self, name: str) -> int:
        """Return the bytes of an image, those of its base included."""
        shown: int = json.loads(self.podman("image", "inspect", name).stdout)[0]["Size"]
        return shown


def image(target: str) -> str:
    """Return the name of a target's image."""
    return f"localhost/freshet-{target}:latest"


def _run(command: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if check and done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        raise ImagesError(f"{command[0]} ended with {done.returncode}:\n" + "\n".join(lines[-15:]))
    return done
