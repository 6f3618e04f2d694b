"""Builds what the compaction job needs beside its script: our modules, and wheels of what they import.

    glue.compaction_job -> the modules it imports   -> compaction-job.zip             (--extra-py-files)
                        -> their pins as wheels     -> compaction-job.gluewheels.zip  (--additional-python-modules)

For `make compaction-job` and whoever deploys. Both are the same bytes each time (deploy.lambda_zip). Formats follow the
Glue guide, Using Python libraries with Glue: a zip of wheels holds wheels/*.whl and wheels/requirements.txt, its name
ends in .gluewheels.zip, and Glue 5.0 and later install it with --no-index. Glue 5.0 runs Python 3.11 on x86-64 with
glibc 2.34.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.lambda_zip import (
    ROOT,
    CannotBuild,
    Target,
    download,
    imported_distributions,
    pinned,
    reachable_modules,
    write_entries,
    write_zip,
)

JOB_MODULE = "glue.compaction_job"
CODE_NAME, WHEELS_NAME = "compaction-job.zip", "compaction-job.gluewheels.zip"
GLUE = Target(
    "3.11", ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
)


def build(folder: Path, wheels: Path | None = None, target: Target = GLUE) -> dict[Path, str]:
    """Builds both zips in `folder`; their SHA-256. `wheels`: a folder of wheels that were downloaded before.

    Raises CannotBuild.
    """
    modules = list(reachable_modules(JOB_MODULE).values())
    code = folder / CODE_NAME
    built = {code: write_zip(modules, (), set(), code)}
    with tempfile.TemporaryDirectory() as temporary:
        lying = wheels or Path(temporary)
        pins = pinned(imported_distributions(modules))
        found = sorted(lying.glob("*.whl")) or download(pins, target, lying)
        entries = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in found}
    names = re.findall(r"^[A-Za-z0-9][^ ;\\]*", pins, flags=re.MULTILINE)  # hashes are checked here, not there
    entries["wheels/requirements.txt"] = "".join(f"{name}\n" for name in names).encode()
    return {**built, folder / WHEELS_NAME: write_entries(entries, folder / WHEELS_NAME)}


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m deploy.glue_job_zip`: builds and says what came out."""
    parser = argparse.ArgumentParser(prog="python -m deploy.glue_job_zip", description="Build the Glue job's zips.")
    parser.add_argument("--folder", type=Path, default=ROOT / "deploy" / "build")
    parser.add_argument("--wheels", type=Path, help="folder of wheels; empty: they are downloaded into it")
    given = parser.parse_args(arguments)
    try:
        built = build(given.folder, given.wheels)
    except CannotBuild as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for path, digest in built.items():
        sys.stdout.write(f"{digest}  {path}  {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
