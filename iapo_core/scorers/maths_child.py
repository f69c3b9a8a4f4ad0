"""The child of `maths`: reads [text, is_gold] a line and answers with the canonical form, or null.

Each line has a limit of CPU time, at which the kernel ends this process, whatever it is computing.
"""

from __future__ import annotations

import cmath
import json
import logging
import re
import resource
import signal
import sys
from typing import Any

import sympy
from math_verify import parse

CPU_S = 4.0
MAX_MEMORY = 4 << 30
_DIGITS = 12  # numbers that agree so far are the same answer
_LONGEST = 2_000
_WORD = re.compile(r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|log|sqrt|exp)\b)[A-Za-z]{3,}")  # read as a product of letters otherwise


def canonical(text: str, *, is_gold: bool) -> str | None:
    """Return one spelling for everything that is equal in value; None where the text holds no mathematical answer."""
    parsed = parse(text, parsing_timeout=None)
    if is_gold and "$" not in text and "\\boxed" not in text and not _WORD.search(text):
        parsed = parse(f"${text}$", parsing_timeout=None) or parsed
    if not parsed:
        return None
    answer = parsed[0]
    spelled = answer.strip() if isinstance(answer, str) else _spelled(answer)
    return spelled[:_LONGEST] or None


def _spelled(value: Any) -> str:
    if isinstance(value, sympy.Eq) and isinstance(value.lhs, sympy.Symbol):  # x = 5 answers with 5
        return _spelled(value.rhs)
    if isinstance(value, sympy.FiniteSet):
        return "{" + ", ".join(sorted(_spelled(item) for item in value)) + "}"
    if isinstance(value, sympy.Tuple | tuple | list):
        return "(" + ", ".join(_spelled(item) for item in value) + ")"
    if isinstance(value, sympy.MatrixBase):
        return "[" + "; ".join(", ".join(_spelled(item) for item in value.row(i)) for i in range(value.rows)) + "]"
    if isinstance(value, sympy.Interval):
        ends = f"{_spelled(value.start)}, {_spelled(value.end)}"
        return ("(" if value.left_open else "[") + ends + (")" if value.right_open else "]")
    if isinstance(value, sympy.Expr):
        if value.is_number:
            return _number(value)
        return str(sympy.simplify(sympy.expand(sympy.nsimplify(value, rational=True))))
    return str(value)


def _number(value: Any) -> str:
    found = complex(sympy.N(value.doit(), _DIGITS + 3))
    if not cmath.isfinite(found):
        return str(value)
    small = 1e-13 * abs(found)
    real, imaginary = (0.0 if abs(part) <= small else part + 0.0 for part in (found.real, found.imag))
    return f"{real:.{_DIGITS}g}" + (f" + {imaginary:.{_DIGITS}g}i" if imaginary else "")


def main() -> None:
    """Answer line by line until there is no more."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("ready", flush=True)  # noqa: T201 - the protocol
    for line in sys.stdin:
        text, is_gold = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)  # its signal is not handled, so it ends the process
        try:
            answer = canonical(text, is_gold=is_gold)
        except Exception:  # sympy raises nearly every kind; none of them is an answer
            answer = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(answer), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
