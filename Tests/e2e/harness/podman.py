"""Podman, and the only place that knows how it is called.

Two things are said for machines on which the tests themselves are confined: crun refuses hybrid cgroups, so runc is
taken where it is installed; and Podman's own limits may be above those that this process may hand on.
"""

import atexit
import json
import os
import resource
import shutil
import subprocess
import tempfile

TIMEOUT = 120


class PodmanError(Exception):
    """A command of Podman's that failed, with what it said."""


def _write_configuration():
    file = tempfile.NamedTemporaryFile("w", prefix="sidecar-e2e-", suffix=".conf", delete=False)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with file:
        file.write(f'[containers]\ndefault_ulimits = ["nofile={hard}:{hard}", "nproc=4000:4000"]\n')
    return file.name


_configuration = _write_configuration()
atexit.register(os.unlink, _configuration)
_environment = {**os.environ, "CONTAINERS_CONF": _configuration}
_command = ["podman"] + (["--runtime", "runc"] if shutil.which("runc") else [])


def attempt(*arguments, **options):
    """Runs Podman and returns the finished process, whatever became of it."""
    options.setdefault("timeout", TIMEOUT)
    return subprocess.run(
        [*_command, *arguments], env=_environment, capture_output=True, text=True, check=False, **options
    )


def run(*arguments, **options):
    """Runs Podman and returns what it printed; raises PodmanError where it fails."""
    process = attempt(*arguments, **options)
    if process.returncode != 0:
        raise PodmanError(f"podman {' '.join(arguments)}: exit {process.returncode}\n{process.stderr}{process.stdout}")
    return process.stdout.strip()


def start(*arguments):
    """Starts Podman with pipes to and from it; whoever calls ends it."""
    return subprocess.Popen(
        [*_command, *arguments], env=_environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )


def inspect(kind, name):
    """The one object of `podman KIND inspect NAME`."""
    found = json.loads(run(kind, "inspect", name))
    return found[0] if isinstance(found, list) else found
