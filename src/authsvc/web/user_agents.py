"""A name for the browser of a User-Agent, for people.

Browsers pretend to be each other, so that only what is wholly understood is named: a product that is not known here is
an unknown browser, whatever else it says it is. Versions are left out, being frozen or untrue by now. The ua-parser
package knows many more names; it compiles its patterns for 0.3 s and takes 2 ms for each new text, on the event loop.
"""

import re

UNKNOWN = "Unknown browser"

# The products of a browser, apart from those that every descendant of its engine names, too.
_BROWSERS = {
    frozenset({"Firefox"}): "Firefox",
    frozenset({"FxiOS"}): "Firefox",
    frozenset({"Chrome"}): "Chrome",
    frozenset({"HeadlessChrome"}): "Chrome",
    frozenset({"CriOS"}): "Chrome",
    frozenset({"Chrome", "Edg"}): "Edge",
    frozenset({"Chrome", "EdgA"}): "Edge",
    frozenset({"EdgiOS", "Version"}): "Edge",
    frozenset({"Chrome", "OPR"}): "Opera",
    frozenset({"Chrome", "SamsungBrowser"}): "Samsung Internet",
    frozenset({"Chrome", "Vivaldi"}): "Vivaldi",
    frozenset({"Version"}): "Safari",
}
_OF_EVERY_ENGINE = frozenset({"Mozilla", "AppleWebKit", "Gecko", "Safari", "Mobile"})
# The first that is found counts: Android says that it is Linux, too.
_SYSTEMS = {
    "Windows NT": "Windows",
    "CrOS": "ChromeOS",
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Macintosh": "Mac",
    "Linux": "Linux",
}
_SAFARI: dict[str | None, tuple[str, str | None]] = {
    "iPhone": ("Safari", "iPhone"),
    "iPad": ("Safari", "iPad"),
    "Mac": ("Safari", "Mac or iPad"),
}
_ON_IOS_ALONE = frozenset({"CriOS", "FxiOS", "EdgiOS"})
_COMMENT = re.compile(r"\([^()]*\)")
_PROGRAM = re.compile(r"([A-Za-z][A-Za-z0-9._-]{0,31})/[0-9]")


def readable(agent: str | None) -> str:
    """Return what a User-Agent (RFC 9110 §10.1.5) tells: "Firefox on Windows", "curl", "Unknown browser"."""
    if not agent:
        return UNKNOWN
    if not agent.startswith("Mozilla/"):
        program = _PROGRAM.match(agent)
        return program[1] if program else UNKNOWN
    comment = _COMMENT.search(agent)
    system = next((name for sign, name in _SYSTEMS.items() if comment and sign in comment[0]), None)
    products = frozenset(word.partition("/")[0] for word in _COMMENT.sub(" ", agent).split()) - _OF_EVERY_ENGINE
    browser = _BROWSERS.get(products, UNKNOWN)
    if browser == "Safari":
        # Others on the same engine say the same. An iPad asks for the pages of a Mac by saying that it is one.
        browser, system = _SAFARI.get(system, (UNKNOWN, system))
    elif system == "Mac" and products & _ON_IOS_ALONE:
        system = "iPad"
    return f"{browser} on {system}" if system else browser
