import socket

import pytest

from tradewind.serving.server.grpc.sockets import is_connected, listeners, stop_listening


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_is_found_and_told_to_stop_while_its_connections_live_on(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening, socket.socket(family) as client, socket.socket(family) as late:
        listening.bind((host, 0))
        port = listening.getsockname()[1]
        assert not listeners(port)
        listening.listen()
        assert listeners(port) == {listening.fileno()} and not is_connected(port)
        client.connect((host, port))
        accepted, _ = listening.accept()
        with accepted:
            assert is_connected(port) and listeners(port) == {listening.fileno()}
            stop_listening(frozenset({accepted.fileno()}), port)  # what does not listen is let alone
            stop_listening(frozenset({listening.fileno()}), port + 1)
            assert listeners(port) == {listening.fileno()}
            stop_listening(listeners(port), port)
            assert not listeners(port)
            with pytest.raises(ConnectionRefusedError):
                late.connect((host, port))
            client.sendall(b"a")
            assert accepted.recv(1) == b"a"
        assert not is_connected(port)
