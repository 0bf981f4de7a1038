"""Runs what the Dockerfile's steps made, as a container would, and holds it against what the deployment relies on.

Called by `image_steps` in namespaces of its own for mounts, processes and the network, where nothing else listens.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from scripts.dockerfile import Stage, stages

MODEL_PORT = 9000
CONFIG = {
    "listen": "0.0.0.0:8080",
    "admin": {"listen": "127.0.0.1:8081"},
    "deployments": [{"name": "fraud", "champion": {"version": "3", "url": f"http://127.0.0.1:{MODEL_PORT}"}}],
}
PATIENCE_S = 120.0
# Where only reading must be possible, and where writing must.
CLOSED = ("/opt/sidecar/x", "/etc/x", "/usr/x", "/x", "/etc/sidecar/config.yaml")
OPEN = ("/var/lib/sidecar/x", "/tmp/x")  # noqa: S108  the container's own


class NotSo(Exception):
    """What runs is not as the deployment relies on; for people."""


class Container:
    """The root, its user and its environment."""

    def __init__(self, root: Path, image: Stage) -> None:
        self.root, self.image = root, image
        words = image.last("ENV").words
        path = next(word.partition("=")[2] for word in words if word.startswith("PATH="))
        self._environment = {
            **dict(word.split("=", 1) for word in words),
            "PATH": path.replace("$PATH", "/usr/local/bin:/usr/bin"),
            "LANG": "C.UTF-8",
        }

    def mount(self) -> None:
        """A root that may only be read, with what an engine adds: /dev, /proc, /tmp, the volume, the configuration."""
        root = str(self.root)
        volume = self.image.last("VOLUME").rest
        (self.root / "etc/sidecar").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/sidecar/config.yaml").write_text(
            json.dumps(CONFIG), encoding="utf-8"
        )  # YAML is more than JSON
        for words in (
            ("--make-rprivate", "/"),
            ("--bind", root, root),
            ("--rbind", "/dev", f"{root}/dev"),
            ("-t", "proc", "proc", f"{root}/proc"),
            ("-t", "tmpfs", "tmpfs", f"{root}/tmp"),  # noqa: S108
            ("--bind", f"{root}{volume}", f"{root}{volume}"),
            ("-o", "remount,bind,ro", root),
        ):
            subprocess.run(["mount", *words], check=True)

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        """A command of the image, as its user, in its folder."""
        enter = "import os, sys; os.chdir(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
        user = self.image.last("USER").rest
        words = ["chroot", f"--userspec={user}", "--groups=", str(self.root), "/usr/local/bin/python", "-c", enter]
        where = self.image.last("WORKDIR").rest
        environment = self._environment | {"PATH": f"{self._environment['PATH']}:/usr/sbin:/sbin"}
        return subprocess.Popen(
            [*words, where, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def said(self, *command: str) -> str:
        """What a command says; NotSo where it fails."""
        out, err = (process := self.start(list(command))).communicate(timeout=PATIENCE_S)
        if process.returncode != 0:
            raise NotSo(f"{command}: exit code {process.returncode}: {err[-2_000:]}")
        return out.strip()


def main() -> int:
    """The script: root and Dockerfile are its arguments."""
    container = Container(Path(sys.argv[1]), stages(Path(sys.argv[2]).read_text(encoding="utf-8"))[-1])
    bring_up("lo")
    container.mount()
    try:
        look_at(container)
        with ThreadingHTTPServer(("127.0.0.1", MODEL_PORT), Model) as model:
            threading.Thread(target=model.serve_forever, daemon=True).start()
            live(container)
            model.shutdown()
    except NotSo as fault:
        print(f"image-steps: {fault}", file=sys.stderr)
        return 1
    return 0


def look_at(container: Container) -> None:
    """What is in it, and what its user may."""
    for path, may in (*((path, False) for path in CLOSED), *((path, True) for path in OPEN)):
        code = f"import os\ntry:\n    open({path!r}, 'a').close(); print(True)\nexcept OSError:\n    print(False)"
        if container.said("python", "-c", code) != str(may):
            raise NotSo(f"the user of the image {'may not' if may else 'may'} write {path}")
    if container.said("python", "-c", "import os; print(os.getuid(), os.getgid(), os.getgroups())") != "10001 10001 []":
        raise NotSo("it does not run as the image's user alone")
    module = container.said("python", "-c", "import sidecar.proxy.listener as found; print(found.__file__)")
    if not module.endswith(".so"):
        raise NotSo(f"the data plane is not compiled: {module}")
    if any((container.root / name).exists() for name in ("usr/bin/gcc", "src")):
        raise NotSo("the compiler or the sources came along")
    if shells := [name for name in ("sh", "bash", "dash") if (container.root / "usr/bin" / name).exists()]:
        raise NotSo(f"the stand-in of the base has a shell, so that nothing is known of doing without: {shells}")
    python = container.said("python", "-c", "import sys; print('.'.join(map(str, sys.version_info[:3])))")
    print(f"Python {python}, compiled data plane, no shell, no compiler; only {', '.join(OPEN)} may be written")


def live(container: Container) -> None:
    """Start, health, a request, and the end."""
    entry = container.image.last("ENTRYPOINT").command + container.image.last("CMD").command
    began = time.monotonic()
    process = container.start(entry)
    try:
        health = container.image.last("HEALTHCHECK").command
        while (check := container.start(health)).wait(PATIENCE_S) != 0:
            if process.poll() is not None or time.monotonic() > began + PATIENCE_S:
                process.kill()
                raise NotSo(
                    f"it does not become healthy: {process.communicate()[1][-2_000:]}{check.communicate()[1][-500:]}"
                )
        print(f"healthy by its own check {time.monotonic() - began:.1f} s after its start")
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE_S)
        connection.request("POST", "/v2/models/fraud/infer", b'{"inputs": []}', {"content-type": "application/json"})
        answer = connection.getresponse()
        if (answer.status, answer.getheader("sidecar-version"), answer.read()) != (200, "3", Model.SAYS):
            raise NotSo(f"a request was answered {answer.status}")
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    if process.returncode != 0:
        raise NotSo(f"it ended with {process.returncode} after SIGTERM")
    print("a request was served, and SIGTERM ended it with 0")


class Model(BaseHTTPRequestHandler):
    """The champion."""

    SAYS = b'{"model_name": "fraud", "outputs": []}'

    def do_POST(self) -> None:
        """Whatever is asked."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(self.SAYS)))
        self.end_headers()
        self.wfile.write(self.SAYS)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def bring_up(interface: str) -> None:
    """A network namespace begins with its loopback down (netdevice(7): SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP)."""
    with socket.socket() as any_socket:
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, 0x8913, struct.pack("16sh", interface.encode(), 0)))[1]
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", interface.encode(), flags | 1))


if __name__ == "__main__":
    os.environ.setdefault("PATH", "/usr/sbin:/usr/bin")
    sys.exit(main())
