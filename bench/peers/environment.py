"""The virtual environment of the peers: .venv-bench, made from bench/requirements.lock when first needed.

Peers pin libraries that we pin otherwise, so they have an environment of their own. Where it cannot be made (no
registry, no wheel) the benchmarks leave the peers out and say why.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from bench.harness import ROOT

FOLDER = ROOT / ".venv-bench"
LOCK = ROOT / "bench" / "requirements.lock"


class PeersNotInstallable(Exception):
    """The environment of the peers could not be made; says why."""


def peer_folder() -> Path:
    """The folder of the peers' commands. Raises PeersNotInstallable."""
    return installed(FOLDER, LOCK)


@cache
def installed(folder: Path, lock: Path) -> Path:
    """The folder of commands of a virtual environment with what a lock file pins; made anew only when that changes.

    Raises PeersNotInstallable.
    """
    commands = folder / "bin"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == digest:
        return commands
    try:
        if not (commands / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, text=True)
        install = [str(commands / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*install, "--require-hashes", "-r", str(lock)], check=True, capture_output=True, text=True, timeout=300
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or [str(error)]
        raise PeersNotInstallable(last[0][:200]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeersNotInstallable(str(error)[:200]) from error
    stamp.write_text(digest)
    return commands


def peer_versions(*distributions: str) -> dict[str, str]:
    """Versions of distributions in the peers' environment."""
    program = (
        "import json, sys; from importlib.metadata import version;"
        " print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    command = [str(peer_folder() / "python"), "-c", program, *distributions]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
