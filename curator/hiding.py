"""What is never said: keys and passwords, whichever way they came in, also where a server repeats them."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from urllib.parse import quote, unquote

_NAMED = re.compile(r"(?i)(key|token|secret|password|passwd|credential)s?$")
"""Names of environment variables that hold a secret."""

_SHORTEST = 6
"""Characters of the shortest value that is looked for: a shorter one stands in many a word."""

_LOGIN = re.compile(r"(?://|^(?!\w+://))([^\s/@]*:[^\s@]*)@")
_IN_URL = re.compile(
    r"//[^\s'\"@]{0,500}@(?:[^\s/'\"@]{0,500}@)?|(?<![^\s'\"(])[^\s'\"(/@:]{1,100}:[^\s'\"/@][^\s'\"@]{0,500}@"
)
_IN_QUERY = re.compile(r"(?i)([?&][\w-]*(?:key|token|secret|password|signature)[\w-]*=)[^\s&'\"]+")
_IN_FLAG = re.compile(
    r"""(?i)(-[\w-]*(?:key|token|secret|password)(?![a-z])[\w-]*[= ]+"""
    r"""|["']?\w*(?:api_?key|secret|password)["']?\s*:\s*)"""
    r"""(?:"[^"]*"?|'[^']*'?|\S+)"""
)


def hidden(text: str, *urls: str) -> str:
    """A message without the secrets of the environment, of these URLs, and of URLs that stand in it.

    >>> hidden("cannot open http://anna:hush@host/x?api_key=hush")
    'cannot open http://***@host/x?api_key=***'
    """
    text = _IN_QUERY.sub(r"\1***", _IN_URL.sub(_bare, text))
    for secret in sorted(_secrets(urls), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def masked(text: str) -> str:
    """A setting without the credentials that URLs and flags in it may hold, and without any query.

    >>> masked("http://anna:secret@host:30000/v1?key=1")
    'http://***@host:30000/v1?***'
    >>> masked("--tp 2 --api-key 'a secret'")
    '--tp 2 --api-key ***'
    """
    text = re.sub(r"(\w+://[^\s?#]*)[?#]\S*", r"\1?***", re.sub(r"//\S*@", "//***@", text))
    return hidden(_IN_FLAG.sub(r"\1***", text))


def _bare(found: re.Match[str]) -> str:
    if not found[0].startswith("//"):
        return "***@"
    return "//***@" if "/" not in found[0][2:] or ":" in found[0] else found[0]  # org/name@revision is no login


def _secrets(urls: tuple[str, ...]) -> set[str]:
    """Each secret in the forms in which it is repeated: as it is, quoted, and as HTTP sends a password."""
    found = {value.strip() for name, value in os.environ.items() if _NAMED.search(name)}
    for value in (*urls, *os.environ.values()):
        for login in _LOGIN.findall(value) if "@" in value else ():
            password = login.partition(":")[2]
            found |= {password, unquote(password), b64encode(unquote(login).encode()).decode()}
    found |= {quote(one, safe="") for one in found}
    return {one for one in found if len(one) >= _SHORTEST}
