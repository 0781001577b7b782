"""The connections file, and the logins and secrets that it refers to."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from service.api import connections as module
from service.api.connections import BasicAuth, Connections, OAuth, read_connections
from service.api.credentials import SECRET_BYTES_MAX, Login, StaticAccount, resolve
from topics.errors import Rejected

SECRET = "pco-secret-77"


def connections(tmp_path: Path, text: str) -> Connections:
    path = tmp_path / "connections.yaml"
    path.write_text(text)
    return read_connections(path)


def test_an_entry_says_how_an_api_is_reached(tmp_path: Path) -> None:
    auth = "{kind: basic, id: 'env:PCO_ID', secret: 'file:/run/secrets/pco'}"
    text = f"acme/pco: {{base_url: 'http://127.0.0.1:8765/', auth: {auth}, concurrency: 4}}"
    found = connections(tmp_path, text).find("acme", "pco")
    assert (found.key, found.base_url, found.concurrency) == ("acme/pco", "http://127.0.0.1:8765", 4)
    assert isinstance(found.auth, BasicAuth)
    assert found.auth.secret.get_secret_value() == "file:/run/secrets/pco"


def test_a_pattern_serves_all_organisations_without_an_entry_of_their_own(tmp_path: Path) -> None:
    pattern = "'*/pco': {auth: {kind: basic, id: 'literal:{org}', secret: 'literal:secret-{org}'}, concurrency: 2}"
    found = connections(tmp_path, f"{pattern}\nacme/pco: {{auth: none, concurrency: 3}}")
    auth = found.find("org-17", "pco").auth
    assert isinstance(auth, BasicAuth)
    assert (auth.id.get_secret_value(), auth.secret.get_secret_value()) == ("literal:org-17", "literal:secret-org-17")
    assert (found.find("acme", "pco").concurrency, found.find("other", "pco").concurrency) == (3, 2)


def test_oauth_names_its_token_endpoint(tmp_path: Path) -> None:
    auth = "{kind: oauth, client_id: 'env:A', client_secret: 'env:B', refresh_token: 'env:C', token_url: 'https://x/t'}"
    found = connections(tmp_path, f"acme/pco: {{auth: {auth}}}").find("acme", "pco").auth
    assert isinstance(found, OAuth)
    assert found.token_url == "https://x/t"


def test_a_connection_that_is_missing_is_named_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        connections(tmp_path, "acme/pco: {auth: none}").find("other", "pco")
    assert str(caught.value) == (
        f"{tmp_path}/connections.yaml has no connection for other/pco: add the key 'other/pco', "
        "or '*/pco' for all organisations, and restart the fetchers (`sluice dev`)"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("acme: {auth: none}", ":1: acme: a connection is named ORG/ADAPTER, or */ADAPTER for all"),
        ("acme/pco:\n  auth: none\n  colour: red", ":3: acme/pco.colour: there is no such field"),
        ("acme/pco: {}", ":1: acme/pco.auth: is missing"),
        ("acme/pco: 5", ":1: acme/pco: must be a mapping"),
        ("acme/pco: {auth: basic}", ":1: acme/pco.auth: must be a mapping"),
        ("acme/pco: {auth: {kind: magic}}", ":1: acme/pco.auth: kind must be basic, bearer, oauth or none"),
        ("acme/pco: {auth: {}}", ":1: acme/pco.auth: must say its kind"),
        ("acme/pco: {auth: {kind: bearer}}", ":1: acme/pco.auth.token: is missing"),
        (
            "acme/pco:\n  auth:\n    kind: bearer\n    token: naked",
            ":4: acme/pco.auth.token: must be env:NAME, file:PATH or (for simulators only) literal:TEXT",
        ),
        ("acme/pco: {auth: none, concurrency: 0}", ":1: acme/pco.concurrency: Input should be greater than"),
        ("acme/pco: {auth: none, concurrency: 65}", ":1: acme/pco.concurrency: Input should be less than"),
        ("acme/pco: {auth: none, concurrency: many}", ":1: acme/pco.concurrency: Input should be a valid integer"),
        ("acme/pco: {auth: none, base_url: ftp://x}", ":1: acme/pco.base_url: must be an address like"),
        ("acme/pco: {auth: none, base_url: 'http://u:p@x'}", ":1: acme/pco.base_url: must hold no user"),
        ("acme/pco: {auth: none, base_url: 'http://x/?key=1'}", ":1: acme/pco.base_url: must hold no user"),
        ("acme/pco: {auth: none, base_url: 'http://x:port'}", ":1: acme/pco.base_url: must be an address like"),
        ("acme/pco: {auth: none}\nacme/pco: {auth: none}", ":2: acme/pco: given twice"),
        ("[]", ":1: the file must hold a mapping"),
        ("acme/pco: {auth", ":2: not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_field(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(Rejected) as caught:
        connections(tmp_path, text)
    assert f"connections.yaml{problem}" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"nowhere\.yaml cannot be read .* SLUICE_CONNECTIONS"):
        read_connections(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(("bound", "problem"), [("CONNECTIONS_MAX", "2 connections"), ("FILE_BYTES_MAX", "bytes")])
def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, problem: str) -> None:
    monkeypatch.setattr(module, bound, 1)
    with pytest.raises(Rejected, match=f"{problem}, at most 1"):
        connections(tmp_path, "a/pco: {auth: none}\nb/pco: {auth: none}")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "connections.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(Rejected, match="not UTF-8"):
        read_connections(tmp_path / "connections.yaml")


@pytest.mark.parametrize(
    "text",
    [
        f"acme/pco: {{auth: {{kind: bearer, token: {SECRET}}}}}",
        f"acme/pco: {{auth: {{kind: bearer, token: [{SECRET}]}}}}",
        f"acme/pco: {{auth: {{kind: bearer, token: {{a: {SECRET}}}}}}}",
        f"acme/pco: {{auth: {{kind: basic, id: 'env:A', secret: 'literal:{SECRET}', more: {SECRET}}}}}",
        f"acme/pco: {{auth: none, base_url: 'https://user:{SECRET}@x'}}",
        f"acme/pco: {{auth: {SECRET}}}",
    ],
)
def test_an_error_in_the_file_shows_no_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(Rejected) as caught:
        connections(tmp_path, text)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_connection_shows_no_literal(tmp_path: Path) -> None:
    text = f"acme/pco: {{auth: {{kind: bearer, token: 'literal:{SECRET}'}}}}"
    assert SECRET not in repr(connections(tmp_path, text).find("acme", "pco"))


def account(tmp_path: Path, auth: str) -> StaticAccount:
    environment = {"PCO_ID": "id", "TOKEN": "abc", "BROKEN": f"{SECRET}\r\nX: y"}
    return StaticAccount(connections(tmp_path, f"acme/pco: {{auth: {auth}}}").find("acme", "pco"), environment)


BEARER = "{kind: bearer, token: 'env:TOKEN'}"


@pytest.mark.parametrize(("auth", "authorization"), [("none", None), (BEARER, "Bearer abc")])
async def test_a_login_is_none_or_a_bearer_token_as_it_is(tmp_path: Path, auth: str, authorization: str | None) -> None:
    assert (await account(tmp_path, auth).login()).authorization == authorization


async def test_basic_is_looked_up_for_each_request(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    basic = account(tmp_path, f"{{kind: basic, id: 'env:PCO_ID', secret: 'file:{file}'}}")
    for secret, authorization in (("one\n", "Basic aWQ6b25l"), ("two", "Basic aWQ6dHdv")):
        file.write_text(secret)
        assert (await basic.login()).authorization == authorization


async def test_a_token_that_no_header_carries_is_rejected_unseen(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no header can carry") as caught:
        await account(tmp_path, "{kind: bearer, token: 'env:BROKEN'}").login()
    assert SECRET not in str(caught.value)


def test_a_login_shows_no_secret() -> None:
    login = Login(f"Bearer {SECRET}", (SECRET,))
    assert SECRET not in repr(login)
    assert login.hide(f"you said {SECRET}") == "you said ***"


@pytest.mark.parametrize(
    ("reference", "content", "problem"),
    [
        ("env:MISSING", b"", "env:MISSING, which is not set"),
        ("env:EMPTY", b"", "env:EMPTY, which is not set"),
        ("file:/nowhere/secret", b"", "file:/nowhere/secret, which cannot be read: No such file or directory"),
        ("file:secret", b" \n", "file:secret, which is empty"),
        ("file:secret", b"\xff", "file:secret, which is not UTF-8 text"),
        ("file:secret", b"x" * (SECRET_BYTES_MAX + 1), "file:secret, which has more than 64000 bytes: not a secret"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named_by_its_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, content: bytes, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(Rejected) as caught:
        resolve(SecretStr(reference), {"EMPTY": ""}, "acme/pco: auth.secret")
    assert str(caught.value) == f"acme/pco: auth.secret refers to {problem}"
