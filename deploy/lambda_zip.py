"""Builds the tracker's Lambda zip, the same bytes each time.

    glue.lambda_handler -> the modules it imports -> the packages those import -> their pins in requirements.lock
      -> wheels for the Lambda's Python and processor (pip download, hashes checked) -> one zip

For `make lambda` and whoever deploys: Terraform compares the zip's hash, so an unchanged function is not deployed
anew. Entries are sorted and carry one time and one mode. Of botocore only the services that the code makes clients of
are packed: the rest is nine tenths of its size, and Lambda unpacks it at every cold start.

The platform tags follow AWS (Lambda guide, working with .zip file archives for Python): Amazon Linux 2023 has
glibc 2.34.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
HANDLER_MODULE = "glue.lambda_handler"
ROOM = "glue"
DEFAULT_OUTPUT = ROOT / "deploy" / "build" / "tracker.zip"
# The least a zip can say; what was built when does not matter, what was built does.
_TIME = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644 << 16
# pyarrow takes two thirds of what Lambda unpacks; glue.compaction_settling does without this and says so.
NOT_IN_LAMBDA = ("glue.compaction_objects",)
_BOTOCORE_BASICS = ("endpoints.json", "partitions.json", "sdk-default-configuration.json", "_retry.json")


@dataclass(frozen=True)
class Target:
    """Where the function runs: CPython's version and the wheels' platform tags, the first that fits."""

    python_version: str = "3.13"
    platforms: tuple[str, ...] = ("manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64")


class CannotBuild(RuntimeError):
    """The zip can't be built; says why."""


def reachable_modules(module: str, root: Path = ROOT, *, without: Sequence[str] = ()) -> dict[str, Path]:
    """The modules of this room that `module` needs, itself included: name -> file. Imports in functions count.

    `without`: modules that stay away, with what only they need.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _module_file(name, root)
        if path is None or name in found or name in without:
            continue
        found[name] = path
        packages = [name.rpartition(".")[0]] if "." in name else []
        waiting += packages + [imported for imported in _imported(path) if imported.partition(".")[0] == ROOM]
    return found


def imported_distributions(paths: Iterable[Path]) -> set[str]:
    """The distributions that these files import from, and what those need in turn: normalised names."""
    by_module = metadata.packages_distributions()
    tops = {name.partition(".")[0] for path in paths for name in _imported(path)}
    waiting = [by_module[top][0] for top in tops - sys.stdlib_module_names - {ROOM} if top in by_module]
    missing = {top for top in tops - sys.stdlib_module_names - {ROOM} if top not in by_module}
    if missing:
        raise CannotBuild(f"imported, but not installed: {', '.join(sorted(missing))}")
    found: set[str] = set()
    while waiting:
        name = _normalised(waiting.pop())
        if name in found:
            continue
        found.add(name)
        needs = [Requirement(text) for text in metadata.requires(name) or ()]
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def client_services(paths: Iterable[Path]) -> set[str]:
    """The AWS services that these files make clients of: the texts given to `client(...)`."""
    return {
        call.args[0].value
        for path in paths
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and (call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")) == "client"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def pinned(names: Iterable[str], lock: Path = ROOT / "requirements.lock") -> str:
    """The entries of a lock file for these distributions, hashes included."""
    entries = {
        _normalised(re.split(r"[=\[ ]", entry, maxsplit=1)[0]): entry.rstrip()
        for entry in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"))
    }
    wanted = sorted(set(names))
    missing = [name for name in wanted if name not in entries]
    if missing:
        raise CannotBuild(f"not in {lock.name}: {', '.join(missing)}")
    return "\n".join(entries[name] for name in wanted) + "\n"


def download(requirements: str, target: Target, folder: Path) -> list[Path]:
    """Wheels of these pins for `target`; hashes are checked by pip. Raises CannotBuild with pip's words."""
    with tempfile.TemporaryDirectory() as temporary:
        listing = Path(temporary) / "requirements.txt"
        listing.write_text(requirements, encoding="utf-8")
        arguments = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", str(listing)]
        arguments += [f"--platform={platform}" for platform in target.platforms]
        arguments += ["--implementation=cp", f"--python-version={target.python_version}", f"--dest={folder}"]
        done = subprocess.run(  # noqa: S603  our own interpreter, arguments from the lock file
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise CannotBuild(f"pip download: {done.stderr.strip()}")
    return sorted(folder.glob("*.whl"))


def write_zip(modules: Iterable[Path], wheels: Iterable[Path], services: set[str], output: Path) -> str:
    """Writes the zip; its SHA-256 in hex."""
    entries: dict[str, bytes] = {}
    for path in [*modules, *sorted((ROOT / ROOM / "tables").glob("*.yaml"))]:
        entries[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for wheel in wheels:
        entries.update(_wheel_entries(wheel, services))
    return write_entries(entries, output)


def write_entries(entries: Mapping[str, bytes], output: Path) -> str:
    """Writes a zip of these names and contents, the same bytes each time; its SHA-256 in hex."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, date_time=_TIME)
            entry.external_attr = _FILE_MODE
            entry.create_system = 3  # Unix, whatever builds it
            archive.writestr(entry, entries[name], compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
    return sha256(output.read_bytes()).hexdigest()


def build(output: Path = DEFAULT_OUTPUT, target: Target | None = None, wheels: Path | None = None) -> str:
    """Builds the tracker's zip; its SHA-256. `wheels`: a folder with wheels that were downloaded before."""
    modules = list(reachable_modules(HANDLER_MODULE, without=NOT_IN_LAMBDA).values())
    services = client_services(modules)
    with tempfile.TemporaryDirectory() as temporary:
        folder = wheels or Path(temporary)
        found = sorted(folder.glob("*.whl")) or download(
            pinned(imported_distributions(modules)), target or Target(), folder
        )
        return write_zip(modules, found, services, output)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m deploy.lambda_zip`: builds and says what came out."""
    parser = argparse.ArgumentParser(prog="python -m deploy.lambda_zip", description="Build the tracker's Lambda zip.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--python-version", default=Target.python_version, help="of the Lambda runtime")
    parser.add_argument("--platform", action="append", help="tag of wheels that run there; may be repeated")
    parser.add_argument("--wheels", type=Path, help="folder of wheels; empty: they are downloaded into it")
    given = parser.parse_args(arguments)
    target = Target(given.python_version, tuple(given.platform or Target.platforms))
    try:
        digest = build(given.output, target, given.wheels)
    except CannotBuild as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{digest}  {given.output}  {given.output.stat().st_size} bytes\n")
    return 0


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_file(name: str, root: Path) -> Path | None:
    place = root.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _normalised(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _wheel_entries(wheel: Path, services: set[str]) -> Mapping[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if _is_needed(name, services)}


def _is_needed(name: str, services: set[str]) -> bool:
    """Modules, data and licences; no packaging records, no models of services that nobody calls."""
    parts = name.split("/")
    if name.endswith("/"):
        return False
    if parts[0].endswith(".dist-info"):
        return "licenses" in parts or parts[-1].upper().startswith(("LICENSE", "NOTICE"))
    if parts[:2] == ["botocore", "data"]:
        return parts[2] in services if len(parts) > 3 else parts[2] in _BOTOCORE_BASICS
    return not parts[0].endswith(".data") and parts[:2] not in (["boto3", "examples"], ["boto3", "data"])


if __name__ == "__main__":
    sys.exit(main())
