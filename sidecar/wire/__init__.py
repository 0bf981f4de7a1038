"""Rules of HTTP/1.1 and of the link's frames, without sockets: bytes and headers in, decisions out."""
