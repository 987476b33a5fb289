import socket
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from schemas.rejection import RejectionReason
from tests.connectors import TableResolver
from worker.errors import Rejection, StageError
from worker.fetch.addresses import (
    AddressBook,
    IPAddress,
    NameServerError,
    has_route,
    system_resolver,
    why_refused,
)

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_what_is_not_of_the_internet_is_refused_with_its_kind(text: str) -> None:
    assert why_refused(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_of_the_internet_is_let_through(text: str) -> None:
    assert why_refused(ip_address(text)) is None


@pytest.mark.parametrize("text", FORBIDDEN)
def test_a_name_that_leads_to_a_forbidden_address_is_rejected(text: str) -> None:
    book = AddressBook(TableResolver({"shop.test": [text]}))
    with pytest.raises(Rejection) as caught:
        book.permitted("shop.test", 1.0)
    assert caught.value.reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
    assert "shop.test" in caught.value.detail
    assert "fetch.allowed_networks" in caught.value.detail


@pytest.mark.parametrize(
    "spelling",
    ["127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0251.0376.0251.0376"],
)
def test_other_spellings_of_a_forbidden_address_are_rejected(spelling: str) -> None:
    book = AddressBook(system_resolver)
    with pytest.raises(Rejection) as caught:
        book.permitted(spelling, 2.0)
    assert caught.value.reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS


def test_localhost_is_rejected_by_the_real_resolver() -> None:
    with pytest.raises(Rejection) as caught:
        AddressBook(system_resolver).permitted("localhost", 2.0)
    assert caught.value.reason is RejectionReason.FETCH_FORBIDDEN_ADDRESS
    assert "loopback" in caught.value.detail


def test_an_address_is_not_looked_up() -> None:
    resolver = TableResolver({})
    assert AddressBook(resolver).permitted("8.8.8.8", 1.0) == [ip_address("8.8.8.8")]
    assert resolver.asked == []


def test_of_a_mixed_answer_only_the_permitted_are_left() -> None:
    book = AddressBook(TableResolver({"mixed.test": ["10.0.0.1", "8.8.8.8", "::1", "8.8.8.8"]}))
    assert book.permitted("mixed.test", 1.0) == [ip_address("8.8.8.8")]


def test_an_answer_without_addresses_is_rejected() -> None:
    with pytest.raises(Rejection) as caught:
        AddressBook(TableResolver({"bare.test": []})).permitted("bare.test", 1.0)
    assert "it has none" in caught.value.detail


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("10.1.0.0/16", "10.1.2.3"),
        ("127.0.0.7/32", "::ffff:127.0.0.7"),
        ("10.1.0.0/16", "64:ff9b::a01:203"),
        ("fd00::/8", "fd00::5"),
        ("169.254.0.0/16", "169.254.1.1"),
    ],
)
def test_a_configured_network_may_be_connected_to(network: str, address: str) -> None:
    book = AddressBook(TableResolver({"store.test": [address]}), [ip_network(network)])
    assert book.permitted("store.test", 1.0) == [ip_address(address)]


def test_a_configured_network_opens_nothing_beside_it() -> None:
    book = AddressBook(TableResolver({"store.test": ["10.2.0.1"]}), [ip_network("10.1.0.0/16")])
    with pytest.raises(Rejection):
        book.permitted("store.test", 1.0)


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA])
def test_a_name_that_does_not_exist_is_the_inputs_fault(code: int) -> None:
    book = AddressBook(TableResolver({"gone.test": socket.gaierror(code, "unknown")}))
    with pytest.raises(Rejection) as caught:
        book.permitted("gone.test", 1.0)
    assert caught.value.reason is RejectionReason.FETCH_UNREACHABLE


@pytest.mark.parametrize(
    "failure",
    [
        socket.gaierror(socket.EAI_AGAIN, "try again"),
        socket.gaierror(socket.EAI_FAIL, "failed"),
        TimeoutError("late"),
    ],
)
def test_a_silent_name_server_is_not_blamed_on_the_name(failure: OSError) -> None:
    with pytest.raises(NameServerError):
        AddressBook(TableResolver({"dark.test": failure})).permitted("dark.test", 1.0)


@pytest.mark.parametrize(
    "failure", [socket.gaierror(socket.EAI_MEMORY, "no memory"), OSError(24, "Too many open files")]
)
def test_a_look_up_that_fails_for_want_of_resources_is_ours(failure: OSError) -> None:
    with pytest.raises(StageError):
        AddressBook(TableResolver({"any.test": failure})).permitted("any.test", 1.0)


SILENT = socket.gaierror(socket.EAI_AGAIN, "try again")


def test_hosts_that_served_tell_whether_the_name_server_answers() -> None:
    resolver = TableResolver({"shop.test": ["8.8.8.8"], "dark.test": SILENT})
    book = AddressBook(resolver)
    assert book.answers_otherwise("dark.test") is None
    book.permitted("shop.test", 1.0)
    assert book.answers_otherwise("dark.test") is None, (
        "an answer alone says nothing: no image came from there"
    )
    book.served("shop.test")
    assert book.answers_otherwise("dark.test") is True
    assert book.answers_otherwise("shop.test") is None

    resolver.table["shop.test"] = SILENT
    assert book.answers_otherwise("dark.test") is False


def test_one_producers_names_are_one_witness() -> None:
    """Its name server answers for some of its names and not for others: that says nothing of ours."""
    names = {f"img{number}.seller.co.jp": SILENT for number in range(9)}
    resolver = TableResolver({"shop.test": ["8.8.8.8"], **names})
    book = AddressBook(resolver)
    book.served("shop.test")
    for name in names:
        book.served(name)
    assert book.answers_otherwise("other.test") is True
    assert book.answers_otherwise("img99.seller.co.jp") is True
    book.served("8.8.4.4")  # an address is no name
    assert book.answers_otherwise("other.test") is True


def test_the_operators_witnesses_come_before_all_others() -> None:
    resolver = TableResolver({"ours.test": ["8.8.8.8"], "shop.test": SILENT})
    book = AddressBook(resolver, witnesses=["ours.test"])
    book.served("shop.test")
    assert book.answers_otherwise("dark.test") is True
    resolver.table["ours.test"] = SILENT
    assert book.answers_otherwise("dark.test") is False


def test_that_a_name_is_gone_is_an_answer() -> None:
    book = AddressBook(TableResolver({}), witnesses=["gone.test"])
    assert book.answers_otherwise("dark.test") is True


def test_the_system_resolver_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    release = threading.Event()

    def stuck(*_args: object, **_kwargs: object) -> Sequence[object]:
        release.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    try:
        with pytest.raises(TimeoutError):
            system_resolver("slow.test", 0.05)
    finally:
        release.set()


def test_the_system_resolver_knows_loopback() -> None:
    found: Sequence[IPAddress] = system_resolver("127.0.0.7", 2.0)
    assert list(found) == [ip_address("127.0.0.7")]


def test_a_label_that_no_name_can_have_does_not_exist() -> None:
    with pytest.raises(Rejection):
        AddressBook(system_resolver).permitted("a" * 64 + ".test", 1.0)


def test_loopback_has_a_route() -> None:
    assert has_route(ip_address("127.0.0.7"))
