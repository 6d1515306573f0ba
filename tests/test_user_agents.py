"""What a User-Agent is called for people: right, or unknown."""

import pytest

from authsvc.web.user_agents import UNKNOWN, readable

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
IOS = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS, MAC = "(Windows NT 10.0; Win64; x64)", "(Macintosh; Intel Mac OS X 10_15_7)"
IPHONE, IPAD = "(iPhone; CPU iPhone OS 18_0 like Mac OS X)", "(iPad; CPU OS 18_0 like Mac OS X)"
ANDROID = "(Linux; Android 10; K)"
CHROME = f"{WEBKIT} Chrome/142.0.0.0"

KNOWN = {
    f"Mozilla/5.0 {WINDOWS} {CHROME} Safari/537.36": "Chrome on Windows",
    f"Mozilla/5.0 {ANDROID} {CHROME} Mobile Safari/537.36": "Chrome on Android",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36": "Chrome on ChromeOS",
    f"Mozilla/5.0 {IPHONE} {IOS} CriOS/142.0.0.0 Mobile/15E148 Safari/604.1": "Chrome on iPhone",
    f"Mozilla/5.0 {MAC} {IOS} CriOS/142 Version/11.1.1 Safari/605.1.15": "Unknown browser on iPad",
    f"Mozilla/5.0 {WINDOWS} {CHROME} Safari/537.36 Edg/142.0.0.0": "Edge on Windows",
    f"Mozilla/5.0 {ANDROID} {CHROME} Mobile Safari/537.36 EdgA/142.0.0.0": "Edge on Android",
    f"Mozilla/5.0 {IPHONE} {IOS} Version/18.0 EdgiOS/142.0.0.0 Mobile/15E148 Safari/605.1.15": "Edge on iPhone",
    f"Mozilla/5.0 {MAC} {CHROME} Safari/537.36 OPR/122.0.0.0": "Opera on Mac",
    f"Mozilla/5.0 {ANDROID} {WEBKIT} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36": (
        "Samsung Internet on Android"
    ),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0": "Firefox on Windows",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0": "Firefox on Linux",
    "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0": "Firefox on Android",
    f"Mozilla/5.0 {IPAD} {IOS} FxiOS/145.0 Mobile/15E148 Safari/605.1.15": "Firefox on iPad",
    f"Mozilla/5.0 {IPHONE} {IOS} Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
    f"Mozilla/5.0 {MAC} {IOS} Version/18.0 Safari/605.1.15": "Safari on Mac or iPad",
    "curl/8.9.1": "curl",
    "python-requests/2.32.3": "python-requests",
    "Dart/3.5 (dart:io)": "Dart",
}
PRETENDING = {
    "another browser on Chrome's engine": f"Mozilla/5.0 {WINDOWS} {CHROME} Whale/4.0 Safari/537.36",
    "another browser on Safari's engine": f"Mozilla/5.0 (X11; Linux x86_64) {IOS} Version/18.0 Safari/605.1.15",
    "another browser on Firefox's engine": (
        "Mozilla/5.0 (Windows NT 6.1; rv:52.9) Gecko/20100101 Goanna/3.4 Firefox/52.9 PaleMoon/28.0"
    ),
    "a page inside an app": f"Mozilla/5.0 {ANDROID} {WEBKIT} Version/4.0 Chrome/142.0.0.0 Mobile Safari/537.36",
    "an ancient one": "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "a crawler": "Mozilla/5.0 (compatible; Firefox/145.0; +http://example.com)",
    "only a start": "Mozilla/5.0",
    "an open bracket": "Mozilla/5.0 (" * 19,
    "a sentence": "Your bank: call us",
    "markup": "<b>Chrome</b>/1",
    "nothing": "",
}


@pytest.mark.parametrize("agent, name", KNOWN.items())
def test_a_browser_that_is_wholly_understood_is_named(agent: str, name: str) -> None:
    assert readable(agent) == name


@pytest.mark.parametrize("agent", PRETENDING.values(), ids=PRETENDING)
def test_what_is_not_wholly_understood_is_an_unknown_browser(agent: str) -> None:
    assert readable(agent).startswith(UNKNOWN)


def test_where_there_is_no_user_agent_the_browser_is_unknown() -> None:
    assert readable(None) == UNKNOWN
