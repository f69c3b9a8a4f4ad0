"""Numbers in texts: found, read exactly, and spelled one way, so that 1/2, 0.5 and .50 vote together."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Literal

from iapo_core.errors import ScorerError
from iapo_core.scorers.base import MAX_CHARACTERS, Compared, golds
from iapo_core.task import Query

_LONGEST = 1_000  # digits of a number when written out; exact arithmetic with more would take long
_FURTHEST = 308  # largest exponent
_MINUS, _SLASH, _FIXED = "\u2212", "\u2044", "\u00a0\u202f"  # as typesetters write them; spaces that do not break


def _pattern(thousands: str, point: str) -> re.Pattern[str]:
    """No part can match in two ways, so the time is linear in the text."""
    plain = rf"(?:\d{{1,3}}(?:[{thousands}]\d{{3}})+(?!\d)|\d+)(?:[{point}]\d+)?|(?<![\w.,])[{point}]\d+"
    return re.compile(
        rf"(?<!\w)(?<!\d[{point}])(?P<sign>(?<!\))[-+{_MINUS}])?(?P<number>{plain})(?:[eE](?P<power>[-+]?\d{{1,4}})(?!\w))?"
        rf"(?:[ {_FIXED}]?[/{_SLASH}][ {_FIXED}]?(?P<below>\d+)(?!\d|[{point}/]\d))?(?P<percent>[ {_FIXED}]?%)?"
    )


_PATTERNS = {"english": (_pattern(",", "."), ",", "."), "european": (_pattern(f".{_FIXED}", ","), f".{_FIXED}", ",")}


class Number(Compared):
    """The last (or first) number of a completion is the gold one; 1,000, 1/2, 1e3 and 50 % are read, units are overlooked."""

    def __init__(
        self,
        which: Annotated[Literal["last", "first"], "Which number of the text is the answer."] = "last",
        tolerance: Annotated[float, "Largest difference that still counts as right; votes are rounded to multiples of it."] = 0.0,
        separators: Annotated[Literal["english", "european"], "1,234.5 is English, 1.234,5 is European."] = "english",
        percent: Annotated[Literal["ignored", "hundredth"], "Whether 50 % is read as 50 or as 0.5."] = "ignored",
    ) -> None:
        if tolerance < 0:
            raise ScorerError(f"`tolerance` is a number of at least 0, not {tolerance}.")
        self._which, self._percent = which, percent
        self._tolerance = Fraction(str(tolerance))
        self._found, self._thousands, self._point = _PATTERNS[separators]

    def read(self, text: str) -> str | None:
        """Return the number in its one spelling, rounded to the tolerance."""
        value = self._value(text)
        if value is None:
            return None
        return spelled(round(value / self._tolerance) * self._tolerance if self._tolerance else value)

    def score(self, text: str, query: Query) -> float:
        """Return 1 if the number is the gold one within the tolerance, else 0."""
        value = self._value(text)
        wanted = [self._value(gold) for gold in golds(query)]
        return float(value is not None and any(gold is not None and abs(value - gold) <= self._tolerance for gold in wanted))

    def _value(self, text: str) -> Fraction | None:
        part = text[-MAX_CHARACTERS:] if self._which == "last" else text[:MAX_CHARACTERS]
        values = (value for match in self._found.finditer(part) if (value := self._read(match)) is not None)
        if self._which == "first":
            return next(values, None)
        last = None
        for last in values:  # noqa: B007 - the last one is wanted
            pass
        return last

    def _read(self, match: re.Match[str]) -> Fraction | None:
        below, power = match["below"] or "", int(match["power"] or 0)
        if abs(power) > _FURTHEST or len(match["number"]) + abs(power) + 5 * len(below) > _LONGEST:
            return None
        divisor = int(below or 1)
        if divisor == 0:
            return None
        plain = "".join(c for c in match["number"] if c not in self._thousands or c == self._point).replace(self._point, ".")
        value = Fraction(plain if plain[0] != "." else f"0{plain}") * Fraction(10) ** power / divisor
        if match["percent"] and self._percent == "hundredth":
            value /= 100
        return -value if match["sign"] in ("-", _MINUS) else value


def spelled(value: Fraction) -> str:
    """Return the one spelling of a number: a decimal where it ends, else a fraction in lowest terms."""
    rest, places = value.denominator, 0
    for prime in (2, 5):
        n = 0
        while rest % prime == 0:
            rest, n = rest // prime, n + 1
        places = max(places, n)
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    digits = f"{abs(value.numerator) * 10**places // value.denominator:0{places + 1}d}"
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"
