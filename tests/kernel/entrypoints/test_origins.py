"""Origins by RFC 6454, in the one spelling that browsers have for each."""

import pytest

from entrypoints.kernel.configuration.origins import is_among, origin_of, split_address

SPELLINGS = {
    "https://app.example.com": "https://app.example.com",
    "HTTPS://App.Example.COM": "https://app.example.com",
    "https://app.example.com:443": "https://app.example.com",
    "https://app.example.com:0443": "https://app.example.com",
    "https://app.example.com:": "https://app.example.com",
    "https://app.example.com:80": "https://app.example.com:80",
    "http://app.example.com:80": "http://app.example.com",
    "http://app.example.com:443": "http://app.example.com:443",
    "http://LOCALHOST:3000": "http://localhost:3000",
    "https://app.example.com.": "https://app.example.com.",  # another host, and browsers keep them apart
    "https://my_app.example.com": "https://my_app.example.com",
    "https://bücher.example": "https://xn--bcher-kva.example",
    "https://BÜCHER.example": "https://xn--bcher-kva.example",
    "https://bu\u0308cher.example": "https://xn--bcher-kva.example",
    "https://XN--BCHER-KVA.example": "https://xn--bcher-kva.example",
    "https://straße.example": "https://xn--strae-oqa.example",  # not strasse.example, as IDNA 2003 had it
    "https://例え。テスト": "https://xn--r8jz45g.xn--zckzah",
    "http://127.0.0.1:8000": "http://127.0.0.1:8000",
    "http://[0:0::1]:80": "http://[::1]",
    "http://[2001:DB8::A]:8080": "http://[2001:db8::a]:8080",
}
NONE = [
    *("", "null", "*", "app.example.com", "//app.example.com", "https://", "https:app.example.com"),
    *("ftp://app.example.com", "file:///etc/passwd", "chrome-extension://abc", "ws://app.example.com"),
    *(
        "https://app.example.com/",
        "https://app.example.com?",
        "https://app.example.com#",
        "https://a.example/b",
    ),
    *("https://ada@app.example.com", "https://ada:s3cret@app.example.com", "https://a.example\\b"),
    *(
        "https://*.example.com",
        "https://a..example",
        "https://.example.com",
        "https://-",
        "https://a-.example",
    ),
    *("https://app.example.com:0", "https://app.example.com:65536", "https://app.example.com:https"),
    *("https://app.example.com:44\uff13", "https://app.example.com:-1", "https://app.example.com:443:443"),
    *("https://127.1", "https://0x7f.0.0.1", "https://256.0.0.1", "https://1.2.3", "https://127.0.0.01"),
    *("https://[::1", "https://::1", "https://[::g]", "https://[127.0.0.1]", "https://[fe80::1%25eth0]"),
    *("https://app.example.com https://b.example", "https://a.example,https://b.example"),
    *(" https://app.example.com", "https://app.example.com\n", "https://app.exa\tmple.com", "https://a%2eb"),
    *("https://" + "a" * 64 + ".example", "https://" + "a." * 130 + "example"),
    *("https://\u200d.example", "https://\u2024\u2024.example"),
]


@pytest.mark.parametrize("written", SPELLINGS)
def test_each_origin_has_one_spelling(written: str) -> None:
    assert origin_of(written) == SPELLINGS[written]
    assert origin_of(SPELLINGS[written]) == SPELLINGS[written]
    assert split_address(f"{written}/a?b=c") == (SPELLINGS[written], "/a?b=c")
    assert is_among(written, {SPELLINGS[written]})


@pytest.mark.parametrize("written", NONE)
def test_what_cannot_be_an_origin_is_none(written: str) -> None:
    assert origin_of(written) is None
    assert not is_among(written, {"https://app.example.com"})


@pytest.mark.parametrize(
    "written", ["https://a.example;b", "https://a.exampleé/", "https://a.example@b.example/", "x", ""]
)
def test_an_address_leads_to_its_own_origin_or_to_none(written: str) -> None:
    read = split_address(written)
    assert read is None or read[0] != "https://a.example"


def test_nothing_is_among_no_origins() -> None:
    assert not is_among(None, {"https://app.example.com"})
