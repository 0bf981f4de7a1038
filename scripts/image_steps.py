"""Carries out the Dockerfile's steps without an engine: in a clean root, then the result as a container would run it.

Each stage begins with what stands in for its base (`image_root`), and its COPY and RUN are done as they are written,
with no environment but its own. The result then runs as the user that the image names, on a root that may only be read,
in a network and with processes of its own; it must become healthy by the image's own health check, serve a request,
drain at SIGTERM, and be unable to write elsewhere. Says how large and how fast that was. What an engine does besides
(layers, labels, digests of bases) is not tried. `make image-steps` calls it, as root; it needs unshare and the network.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from scripts.dockerfile import Stage, Step, stages
from scripts.image_root import BUILDS, SLIM, base, reachable

ROOT = Path(__file__).parent.parent
ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts"]
# What is mounted for one command in a root: no more than an engine gives.
MOUNTED = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'


class StepFailed(Exception):
    """A step of the Dockerfile, or what came of it, is not as it should be; for people."""


def main() -> int:
    """The script; 1 with a sentence where a step fails."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("apt-get") is None:
        print(
            "make image-steps needs root, unshare and apt-get: it unpacks a system and changes its root",
            file=sys.stderr,
        )
        return 1
    folder = Path(tempfile.mkdtemp(prefix="image-steps-"))
    try:
        built = build(stages((ROOT / "Dockerfile").read_text(encoding="utf-8")), folder)
        command = [sys.executable, "-m", "scripts.image_run", str(built), str(ROOT / "Dockerfile")]
        return subprocess.run([*ALONE, "--net", *command], cwd=ROOT, check=False).returncode
    except (StepFailed, subprocess.CalledProcessError) as fault:
        print(f"image-steps: {fault}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)


def build(found: tuple[Stage, ...], folder: Path) -> Path:
    """Every stage; the root of the last one."""
    roots: dict[str, Path] = {}
    root = folder
    for number, stage in enumerate(found):
        root = folder / f"stage-{number}"
        began = time.monotonic()
        base(root, SLIM if stage.base.endswith("-slim") else BUILDS, folder / "cache")
        print(
            f"FROM {stage.base}: Debian's packages, {megabytes(root)} MB, {time.monotonic() - began:.0f} s", flush=True
        )
        before = megabytes(root)
        reachable(root)
        carry_out(stage, root, roots)
        print(f"the stage adds {megabytes(root) - before} MB", flush=True)
        roots[stage.name] = root
    return root


def carry_out(stage: Stage, root: Path, roots: dict[str, Path]) -> None:
    """COPY, RUN and what they stand in."""
    environment = {"PATH": "/usr/local/bin:/usr/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    # How this machine reaches its index, which an engine would be told too.
    environment |= {
        name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_CERT", "HTTPS_PROXY") if name in os.environ
    }
    where = "/"
    for step in stage.steps:
        if step.word == "ENV":
            environment |= {name: value.replace("$PATH", environment["PATH"]) for name, value in variables(step)}
        elif step.word == "WORKDIR":
            where = step.rest
            inside(root, where).mkdir(parents=True, exist_ok=True)
        elif step.word == "COPY":
            copy(step, root, where, roots)
        elif step.word == "RUN":
            began = time.monotonic()
            run(step.command, root, where, environment)
            print(f"RUN {' '.join(step.command)[:90]}: {time.monotonic() - began:.0f} s", flush=True)


def variables(step: Step) -> Iterable[tuple[str, str]]:
    """Name and value of an ENV."""
    for word in step.words:
        name, _, value = word.partition("=")
        yield name, value


def run(command: list[str], root: Path, where: str, environment: dict[str, str]) -> None:
    """One RUN; StepFailed with what it said."""
    # chroot changes to / first; env is of coreutils, which a base without a shell may lack, so Python changes folder.
    enter = ["python", "-c", "import os, sys; os.chdir(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])", where]
    script = [*ALONE, "sh", "-c", MOUNTED, str(root), *enter, *command]
    # This machine's own chroot is found as well, behind the stage's programs.
    path = f"{environment['PATH']}:{os.environ['PATH']}:/usr/sbin:/sbin"
    done = subprocess.run(script, env=environment | {"PATH": path}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StepFailed(f"RUN {command}: exit code {done.returncode}\n{done.stdout[-2_000:]}{done.stderr[-4_000:]}")


def copy(step: Step, root: Path, where: str, roots: dict[str, Path]) -> None:
    """From the work tree, through what .dockerignore lets in, or from another stage."""
    *sources, target = step.words
    to = inside(root, target if target.startswith("/") else f"{where}/{target}")
    stage = step.flags.get("from")
    for name in sources:
        source = ROOT / name if stage is None else inside(roots[stage], name)
        if stage is None and not let_in(name):
            raise StepFailed(f"COPY {name}: .dockerignore keeps it out")
        if source.is_dir():
            shutil.copytree(
                source, to, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"), dirs_exist_ok=True
            )
        else:
            place = to / source.name if target.endswith("/") else to
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
    if "chown" in step.flags:
        owner, _, group = step.flags["chown"].partition(":")
        for each in (to, *to.rglob("*")):
            os.chown(each, int(owner), int(group), follow_symlinks=False)


def let_in(name: str) -> bool:
    """Whether .dockerignore lets a path of the work tree into the build; its last fitting line counts."""
    found = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (fnmatch.fnmatch(name, pattern) or name.startswith(f"{pattern}/")):
            found = line.startswith("!")
    return found


def inside(root: Path, path: str) -> Path:
    """A path of a root, from here."""
    return root / path.lstrip("/")


def megabytes(folder: Path) -> int:
    """What the files below take."""
    told = subprocess.run(
        ["du", "--summarize", "--block-size=1000000", str(folder)], capture_output=True, text=True, check=True
    )
    return int(told.stdout.split()[0])


if __name__ == "__main__":
    sys.exit(main())
