"""Which addresses a URL may lead to: a name is resolved once, judged, and the judged address is what
is connected to, so that an answer that changes in between (DNS rebinding) changes nothing.
"""

import errno
import queue
import socket
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Protocol

from schemas.rejection import RejectionReason
from worker.errors import MekikiError, Rejection, StageError

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

# All global unicast of IPv6 that IANA has given out so far.
_IPV6_UNICAST = IPv6Network("2000::/3")
# RFC 6052: DNS64 gives these to IPv6-only machines; the last 32 bits are the IPv4 address that is meant.
_NAT64 = IPv6Network("64:ff9b::/96")
# Global to `ipaddress`, at least in some Python versions, and yet not to be reached by a stranger's URL.
_SPECIAL: dict[IPNetwork, str] = {
    ip_network("192.0.0.0/24"): "an IETF protocol assignment",
    ip_network("192.88.99.0/24"): "a 6to4 relay",
    ip_network("168.63.129.16/32"): "a cloud's metadata service",
    ip_network("2001::/23"): "an IETF protocol assignment (Teredo among them)",
    ip_network("2002::/16"): "a 6to4 tunnel",
    ip_network("3fff::/20"): "for documentation",
}
_WITNESSES = 3
_WITNESS_TIMEOUT = 2.0


class NameServerError(MekikiError):
    """The name server gave no answer, neither an address nor that there is none."""


class Resolver(Protocol):
    """Looks a host name up.

    Raises:
        socket.gaierror: there is no such name, or the name server failed.
        TimeoutError: no answer within `timeout` seconds.

    """

    def __call__(self, host: str, timeout: float) -> Sequence[IPAddress]:
        """All addresses of `host`, the best first."""
        ...


def system_resolver(host: str, timeout: float) -> Sequence[IPAddress]:
    """Look `host` up as the machine does (`getaddrinfo`), which knows no time limit: hence the thread."""
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answers.put([str(sockaddr[0]) for *_, sockaddr in found])
        except OSError as error:
            answers.put(error)
        except UnicodeError as error:  # a label that no name can have
            answers.put(socket.gaierror(socket.EAI_NONAME, str(error)))

    threading.Thread(target=look_up, name="mekiki-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=max(timeout, 0.0))
    except queue.Empty:
        raise TimeoutError(f"no answer about {host} within {timeout:.1f} s") from None
    if isinstance(answer, OSError):
        raise answer
    return [ip_address(text) for text in answer]


def why_refused(address: IPAddress) -> str | None:
    """Say what `address` is when it is not a global unicast address of the internet; else None.

    The registries are IANA's for special-purpose addresses (RFC 6890), as `ipaddress` has them, and
    `_SPECIAL`. IPv6 forms that carry an IPv4 address are judged by what they carry (IPv4-mapped, NAT64)
    or refused (IPv4-compatible, 6to4, Teredo).
    """
    carried = _carried(address)
    if carried is not None:
        why = why_refused(carried)
        return why and f"{why} ({carried} within)"
    for network, what in _SPECIAL.items():
        if address in network:
            return what
    kinds = (
        (address.is_unspecified, "unspecified"),
        (address.is_loopback, "loopback"),
        (address.is_link_local, "link-local (metadata services are there)"),
        (address.is_multicast, "multicast"),
        (not address.is_global, "private or reserved"),
        (address.version == 6 and address not in _IPV6_UNICAST, "not global unicast"),
    )
    return next((kind for holds, kind in kinds if holds), None)


def _carried(address: IPAddress) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


class AddressBook:
    """Resolves names to addresses that may be connected to. Used from many threads at once."""

    def __init__(
        self, resolver: Resolver, allowed_networks: Iterable[IPNetwork] = (), witnesses: Iterable[str] = ()
    ) -> None:
        """Look names up with `resolver`; `witnesses` are names that always have an answer."""
        self._resolver = resolver
        self._allowed = tuple(allowed_networks)
        self._chosen = tuple(witnesses)
        self._served: OrderedDict[str, str] = OrderedDict()  # a host by its registered domain
        self._lock = threading.Lock()

    def permitted(self, host: str, timeout: float) -> list[IPAddress]:
        """Addresses of `host` (a name or an address, however spelt) that may be connected to.

        Of a mixed answer the forbidden addresses are left out: only what this returns is connected to.

        Raises:
            Rejection: there is no such name, or all its addresses are forbidden.
            NameServerError: the name server did not answer; `answers_otherwise` tells whose fault it is.
            StageError: the look-up failed for want of our own resources.

        """
        addresses = self._addresses(host, timeout)
        refusals = {address: why for address in addresses if (why := self._why_refused(address))}
        permitted = [address for address in addresses if address not in refusals]
        if not permitted:
            shown = ", ".join(f"{address} is {why}" for address, why in refusals.items())
            raise Rejection(
                RejectionReason.FETCH_FORBIDDEN_ADDRESS,
                f"{host} leads to no address that may be connected to: {shown or 'it has none'}; "
                "list its network in fetch.allowed_networks if it is yours",
            )
        return permitted

    def answers_otherwise(self, host: str) -> bool | None:
        """Ask about names that should have an answer: is it only `host` that gets none? None: nobody can say.

        Asked about are the operator's own choice, else the hosts that images came from lately, one of each
        domain: a producer's name server that answers for some of its names and not for others is not ours.
        """
        mine = _domain(host)
        with self._lock:
            lately = [name for domain, name in reversed(self._served.items()) if domain != mine]
        witnesses = self._chosen or lately[:_WITNESSES]
        if not witnesses:
            return None
        return any(self._answers(name) for name in witnesses)

    def served(self, host: str) -> None:
        """An image came from `host`: its name can witness for the name server from now on."""
        domain = _domain(host)
        if domain is None:
            return
        with self._lock:
            self._served[domain] = host
            self._served.move_to_end(domain)
            while len(self._served) > _WITNESSES + 1:
                self._served.popitem(last=False)

    def _why_refused(self, address: IPAddress) -> str | None:
        judged = _carried(address) or address
        if any(judged in network or address in network for network in self._allowed):
            return None
        return why_refused(address)

    def _addresses(self, host: str, timeout: float) -> Sequence[IPAddress]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            addresses = self._resolver(host, timeout)
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                raise Rejection(
                    RejectionReason.FETCH_UNREACHABLE,
                    f"the name {host} has no address: correct it, or send again once it has one",
                ) from error
            if error.errno in _NO_ANSWER:
                raise NameServerError(f"the name server gives no answer about {host}: {error}") from error
            raise StageError(f"{host} cannot be looked up: {error}") from error
        except TimeoutError as error:
            raise NameServerError(f"the name server gives no answer about {host}: {error}") from error
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread can be started
            raise StageError(f"{host} cannot be looked up: {error}") from error
        return list(dict.fromkeys(addresses))

    def _answers(self, host: str) -> bool:
        try:
            self._resolver(host, _WITNESS_TIMEOUT)
        except socket.gaierror as error:
            return error.errno in _NO_SUCH_NAME
        except OSError:
            return False
        return True


_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY}
_NO_ANSWER = {socket.EAI_AGAIN, socket.EAI_FAIL}


def _domain(host: str) -> str | None:
    """The registered domain of a name, as good as it can be told without the public suffix list.

    None for an address.
    """
    try:
        ip_address(host)
    except ValueError:
        labels = host.rstrip(".").split(".")
        # co.jp, com.au and the like stand for one label.
        is_second_level = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
        return ".".join(labels[-3 if is_second_level else -2 :])
    return None


def has_route(address: IPAddress) -> bool:
    """Whether this machine knows a way to `address`; looks in the routing table and sends nothing."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(address), 9))  # connecting a datagram socket sends no packet
        except OSError as error:
            return error.errno not in {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN}
    return True
