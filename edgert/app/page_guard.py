"""Who may see the page and change anything: addresses, the token, same origin."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from edgert.errors import UsageError

__all__ = ["COOKIE", "HEADERS", "LEAST_TOKEN", "Access"]

COOKIE = "edgert_token"
LEAST_TOKEN = 16
_LOCAL_HOSTS = frozenset(("127.0.0.1", "localhost", "::1"))

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "edgert",
}


@dataclass(frozen=True)
class Access:
    """Where the page listens and which token opens it. `form_token`: what its script sends with changes."""

    address: str = "127.0.0.1"
    token: str | None = None
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def __post_init__(self) -> None:
        try:
            is_local = ipaddress.ip_address(self.address).is_loopback
        except ValueError as error:
            raise UsageError(f"the address {self.address!r} is no IP address; as in 127.0.0.1 or 0.0.0.0") from error
        if not is_local and self.token is None:
            raise UsageError(
                f"the page would be open to everybody who reaches {self.address}; set EDGERT_PAGE_TOKEN to a secret of "
                f"at least {LEAST_TOKEN} characters, or keep 127.0.0.1 and come through `ssh -L`"
            )
        if self.token is not None and (len(self.token) < LEAST_TOKEN or not self.token.isascii()):
            raise UsageError(f"the page's token needs at least {LEAST_TOKEN} ASCII characters")

    def knows_host(self, host: str) -> bool:
        """Whether a request for that Host may be answered: without a token only this computer's own names.

        A name of an attacker that resolves to 127.0.0.1 (DNS rebinding) is refused here.
        """
        return self.token is not None or _hostname(host) in _LOCAL_HOSTS

    def is_open(self, headers: Mapping[str, str], cookie: str | None) -> bool:
        """Whether a request brings the token, where one is asked for."""
        if self.token is None:
            return True
        given = headers.get("Authorization", "").removeprefix("Bearer ")
        return any(_equal(value, self.token) for value in (given, cookie or ""))

    def is_token(self, given: str) -> bool:
        """Whether that is the token."""
        return self.token is not None and _equal(given, self.token)

    def may_change(self, headers: Mapping[str, str]) -> bool:
        """Whether a request comes from the page itself: its origin, and the token that only its script can read."""
        origin = headers.get("Origin")
        same_site = headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        same_origin = origin is None or urlsplit(origin).netloc == headers.get("Host", "")
        return same_site and same_origin and _equal(headers.get("X-Edgert-Token", ""), self.form_token)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
