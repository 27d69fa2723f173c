"""Where a request may go: to hosts that the user named, and never unasked into a private network.

An answer may redirect, and name its next page.  A provider that is in others' hands must not lead
a request to what only this machine can reach: services of the local network, or the metadata of a
cloud at 169.254.169.254.  What counts is the address that a name resolves to, at the moment at
which it is connected to.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}

LOCAL = (".local", ".lan", ".internal", ".home.arpa", ".localhost")
"""Ends of names that mean a private address; names without a dot do as well."""


class OutOfReachError(OSError):
    """An address that is not to be asked."""


@dataclass(frozen=True)
class Reach:
    """The host that the user asked for, and others that the user allowed.

    >>> reach = Reach.of("https://optimade.example.org/v1", ["data.example.org"])
    >>> reach.refusal("https://data.example.org/v1/structures?page=2")
    ''
    >>> reach.refusal("https://elsewhere.org/")
    'elsewhere.org is not its host (optimade.example.org): allow it with --allow-host elsewhere.org'

    Attributes:
        home: host and port of the address that the user gave.
        allowed: hosts with a port, or None for the usual ones.
        anywhere: whether all hosts with a public address are allowed.
    """

    home: tuple[str, int]
    allowed: tuple[tuple[str, int | None], ...] = ()
    anywhere: bool = False

    @classmethod
    def of(cls, url: str, allowed: list[str] | tuple[str, ...] | None = ()) -> Reach:
        """From the address that the user gave, and hosts (``host`` or ``host:port``; None: all).

        Raises:
            ValueError: for an address that is none.
        """
        others = tuple(_host_and_port(f"//{text}") for text in allowed or ())
        host, port = _host_and_port(url)
        scheme = urlsplit(url).scheme
        return cls((host, port or DEFAULT_PORTS.get(scheme, 0)), others, allowed is None)

    def refusal(self, url: str) -> str:
        """Why an address is not to be asked, or nothing.

        Raises:
            ValueError: for an address that is none.
        """
        host, port = _host_and_port(url)
        usual = (None, *DEFAULT_PORTS.values())
        if self.anywhere or (host, port or DEFAULT_PORTS.get(urlsplit(url).scheme)) == self.home:
            return ""
        if host == self.home[0] and port in usual and self.home[1] in usual:
            return ""
        if any(host == h and (port == p or (p is None and port in usual)) for h, p in self.allowed):
            return ""
        name = host if port is None else f"{host}:{port}"
        own = f"{self.home[0]}:{self.home[1]}" if host == self.home[0] else self.home[0]
        return f"{name} is not its host ({own}): allow it with --allow-host {name}"

    def connect(
        self, address: tuple[str, int], timeout: float, source: object = None
    ) -> socket.socket:
        """A connection to the first address of a host that answers, all of them being in reach.

        Raises:
            OutOfReachError: if one is private, and the user has not named it.
            OSError: if none answers.
        """
        host, port = address
        found = [info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        for one in found:
            if not self._may(host, ip_address(str(one).partition("%")[0])):
                raise OutOfReachError(
                    f"{host} leads to {one}, an address of this network: if it is meant, allow it "
                    f"with --allow-host {one}"
                )
        failed: OSError | None = None
        for one in found:
            try:
                return socket.create_connection((str(one), port), timeout)
            except OSError as error:
                failed = error
        raise failed or OSError(f"{host} has no address")

    def _may(self, host: str, address: IPv4Address | IPv6Address) -> bool:
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if address.is_global and not address.is_multicast:
            return True
        names = {self.home[0], *(name for name, _ in self.allowed)}
        if str(address) in names:
            return True
        bare = _bare(host)
        local = "." not in bare.rstrip(".") or bare.endswith(LOCAL)
        return bare in names and local and not (address.is_link_local or address.is_unspecified)


def _host_and_port(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    return _bare(parts.hostname or ""), parts.port


def _bare(host: str) -> str:
    return host.rstrip(".").lower()
