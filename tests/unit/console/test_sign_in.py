"""Who is let in, by tokens, by a proxy, or because there is nobody else on this machine."""

import hashlib

import pytest

from console.sign_in import COOKIE, SignIn
from worker.errors import ConfigurationError
from worker.settings import ConsoleSettings


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# who\nvera viewer {digest('look')}\n\nren reviewer {digest('decide')}\n")
    return SignIn(ConsoleSettings(sign_in="tokens", tokens_file=file))


def test_tokens_and_sessions(tokens):
    assert tokens.session("wrong") is None
    person = tokens.person("10.0.0.1", {}, {COOKIE: tokens.session("decide")})
    assert (person.name, person.may_review, person.by_token) == ("ren", True, False)
    bearer = tokens.person("10.0.0.1", {"authorization": "Bearer look"}, {})
    assert (bearer.name, bearer.may_review, bearer.by_token) == ("vera", False, True)


def test_a_session_of_another_secret_is_none(tokens):
    file = tokens._settings.tokens_file
    other = SignIn(ConsoleSettings(sign_in="tokens", tokens_file=file))
    assert other.person("10.0.0.1", {}, {COOKIE: tokens.session("decide")}) is None


@pytest.mark.parametrize("cookie", ["", ".", "...", "a.b.c.d", "é.9.9.x"])
def test_a_cookie_that_is_none(tokens, cookie):
    assert tokens.person("10.0.0.1", {}, {COOKIE: cookie}) is None


@pytest.mark.parametrize(
    ("peer", "groups", "role"),
    [
        ("10.1.2.3", "x, mekiki-reviewer", "reviewer"),
        ("10.1.2.3", "mekiki-viewer", "viewer"),
        ("10.1.2.3", "mekiki-reviewers", None),
        ("192.0.2.1", "mekiki-reviewer", None),
        ("", "mekiki-reviewer", None),
    ],
)
def test_a_proxys_word_counts_from_its_network_alone(peer, groups, role):
    sign_in = SignIn(ConsoleSettings(sign_in="proxy", trusted_proxies=["10.0.0.0/8"], host="0.0.0.0"))
    person = sign_in.person(peer, {"x-forwarded-user": "mei", "x-forwarded-groups": groups}, {})
    assert (person and person.role) == role


def test_nobody_is_asked_on_this_machine_alone():
    assert SignIn(ConsoleSettings()).person("127.0.0.1", {}, {}).may_review
    assert SignIn(ConsoleSettings()).person("10.0.0.1", {}, {}) is None
    with pytest.raises(ConfigurationError, match="sign_in"):
        SignIn(ConsoleSettings(host="0.0.0.0"))


@pytest.mark.parametrize("line", ["ren reviewer", "ren admin " + "0" * 64, "ren reviewer 123"])
def test_a_line_that_is_none_is_told(tmp_path, line):
    (tmp_path / "t").write_text(line)
    with pytest.raises(ConfigurationError, match="write NAME"):
        SignIn(ConsoleSettings(sign_in="tokens", tokens_file=tmp_path / "t"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "origin"),
    [
        ("10.1.0.9", ["203.0.113.7"], "203.0.113.7"),
        ("10.1.0.9", ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),  # the first was made up by the client
        ("10.1.0.9", ["203.0.113.7", "10.2.0.4"], "203.0.113.7"),  # by way of two proxies
        ("10.1.0.9", ["203.0.113.7,10.2.0.4"], "203.0.113.7"),
        ("10.1.0.9", [], "10.1.0.9"),
        ("10.1.0.9", ["10.1.0.8"], "10.1.0.8"),
        ("10.1.0.9", ["unknown"], "unknown"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # no proxy of ours: it may say what it likes
        ("testclient", ["198.51.100.1"], "testclient"),
    ],
)
def test_attempts_are_counted_by_the_client_behind_trusted_proxies(peer, forwarded, origin):
    assert SignIn(ConsoleSettings(trusted_proxies=["10.0.0.0/8"])).origin(peer, forwarded) == origin
