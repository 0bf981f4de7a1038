from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sidecar.address import Address, parse_listen
from sidecar.app.listening import CannotBind, bind, let_go, where


def test_port_zero_is_told_as_the_port_that_was_given() -> None:
    listener = bind(parse_listen("127.0.0.1:0"), "listen")

    port = listener.getsockname()[1]
    assert where(listener, tls=False) == f"http://127.0.0.1:{port}"
    assert where(listener, tls=True) == f"https://127.0.0.1:{port}"
    let_go(listener)
    let_go(listener)  # a second time does nothing
    assert listener.fileno() == -1


def test_a_taken_port_is_a_sentence_that_names_the_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(CannotBind, match=f"admin.listen 127.0.0.1:{address.port}: another process listens there"):
            bind(address, "admin.listen")


def test_a_dead_socket_file_is_taken_over_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()

    listener = bind(Address("", 0, str(path)), "listen")

    assert where(listener, tls=False) == f"unix:{path}"
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
    let_go(listener)
    assert not path.exists()


def test_a_live_socket_file_is_left_alone_even_with_a_full_backlog(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as waiting:
        live.bind(str(path))
        live.listen(0)
        waiting.connect(str(path))  # fills it: another blocking connect would never return
        with pytest.raises(CannotBind, match="another process listens there"):
            bind(Address("", 0, str(path)), "listen")
        assert path.is_socket()


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")

    with pytest.raises(CannotBind, match="a file that is no socket stands there: remove it"):
        bind(Address("", 0, str(path)), "listen")

    assert path.read_text() == "precious"
