"""Throw bad files at the readers until the time is up; run as a process of its own, so that a crash is seen as one.

`python -m tests.validation.fuzz_reading SECONDS SEED` prints one JSON object: per format the inputs tried, accepted (at least one
row), refused (a ReadingError), crashed (any other error), slow (over a second) and lost (rows neither accepted nor reported).
"""

import contextlib
import csv
import faulthandler
import io
import json
import random
import resource
import sqlite3
import sys
import time
import traceback

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from iapo_core.errors import ReadingError
from iapo_core.reading import read_prompts, read_queries, read_sheet
from iapo_core.reading.write import write_rows

MEMORY_BYTES = 3 * 2**30
SLOW_S, HANG_S = 1.0, 20
FIGURES = ("tried", "accepted", "refused", "crashed", "slow", "lost")
FORMATS = ("csv", "json", "jsonl", "yaml", "txt")
COUNTS = {name: dict.fromkeys(FIGURES, 0) for name in FORMATS}
FIRST: list[str] = []
STORE = sqlite3.connect(":memory:")


def read(content, format, kind):
    sheet = read_sheet(content, f"x.{format}", kind)
    return (read_prompts if kind == "prompts" else read_queries)(sheet)


def attempt(content, format, kind, n_rows=None):
    """Read one input and judge what came of it; `n_rows` is how many rows are in it, where that is known."""
    counts = COUNTS[format]
    counts["tried"] += 1
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    begun = time.process_time()  # of this process: a busy machine makes nothing slow
    try:
        reading = read(content, format, kind)
        said = "\n".join(map(str, reading.problems))
        STORE.execute("SELECT ?, ?", (said, json.dumps(reading.rows, ensure_ascii=False))).fetchall()
        rejected = {problem.row for problem in reading.problems}
        known = reading.n_rows if n_rows is None else n_rows
        if len(reading.rows) + len(rejected) != known:
            note("lost", content, format, f"{len(reading.rows)} accepted, {len(rejected)} reported of {known}")
        if reading.rows:
            counts["accepted"] += 1
            if format != "txt" and counts["tried"] % 8 == 0:
                again = read(write_rows(reading.rows, kind, "JSON"), "json", kind)
                if again.rows != reading.rows:
                    note("lost", content, format, "what was written reads back as something else")
        else:
            counts["refused"] += 1
    except ReadingError as error:
        counts["refused"] += 1
        STORE.execute("SELECT ?", (str(error),)).fetchall()
    except Exception:
        note("crashed", content, format, traceback.format_exc()[-600:])
    if time.process_time() - begun > SLOW_S:
        note("slow", content, format, "")
    faulthandler.cancel_dump_traceback_later()


def note(what, content, format, why):
    COUNTS[format][what] += 1
    if len(FIRST) < 5:
        FIRST.append(f"{what} {format} {content[:300]!r} {why}")


WORDS = [
    "id", "template", "prompt", "messages", "role", "user", "content", "fields", "gold", "question", "queries", "prompts", "{q}", "---",
    "\n", "\r", "\r\n", "\t", ",", ";", '"', '""', "'", ":", "- ", "  ", "[", "]", "{", "}", "&a ", "*a", "<<: ", "!!timestamp ", "!x ",
    "!!python/object/apply:os.system ", "| ", "> ", "? ", "# ", "%YAML 1.1", "null", "NaN", "Infinity", "1e999", "9" * 5000, "\\ud800",
    "\\u0000", "\0", "\ufeff", "\ud800", "\u2028", "\x85", "=1+1", "@x", "true", "~", "ä", "x" * 33_000,
    "[" * 60, "{'a':" * 60,
]  # fmt: skip
SEEDS = [
    'id,template\na,"Say {q}."\nb,Think\n',
    "question;answer\nWhy?;because\n",
    json.dumps([{"id": "a", "template": "Say {q}."}, {"id": "b", "messages": [{"role": "user", "content": "x"}]}]),
    json.dumps({"queries": [{"id": "a", "fields": {"q": "1"}, "gold": ["x", "y"]}]}),
    '{"question": "1+1?", "answer": 2}\n{"question": "2+2?", "answer": 4}\n',
    "- id: a\n  template: |\n    Say\n    {q}\n- b\n",
    "a: Say {q}.\nb: [{role: user, content: x}]\n",
    "Say {q}.\n---\nThink.\n\nThen say.\n",
]


def mutated(chance: random.Random) -> str | bytes:
    """Return a good file with a few parts cut out, doubled, or replaced."""
    text = chance.choice(SEEDS)
    for _ in range(chance.randint(1, 6)):
        at, end = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
        end = min(end, at + chance.choice((0, 1, 3, 12)))
        text = text[:at] + chance.choice((chance.choice(WORDS), text[at:end] * 2, "")) + text[end:]
    if chance.random() < 0.7:
        return text
    raw = bytearray(text.encode(chance.choice(("utf-8", "utf-16", "utf-16-le")), "surrogatepass"))
    for _ in range(chance.randint(0, 3)):
        if raw:
            raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


TEXT = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(WORDS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
TABLES = st.tuples(
    st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)


def table(rows, end, quoting) -> tuple[str, int]:
    """Return a CSV whose rows may be too long, too short or hold bare carriage returns, and how many it has."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=end, quoting=quoting)
    writer.writerow(("id", "template"))
    writer.writerows(rows)
    return buffer.getvalue(), len(rows)


def hypotheses(seconds: float, start: int) -> None:
    """Draw from strategies of whole files."""
    end = time.monotonic() + seconds
    options = settings(
        max_examples=200, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    for turn in range(10_000):

        @seed(start + turn)
        @options
        @given(st.data())
        def once(data):
            kind = data.draw(st.sampled_from(["prompts", "queries"]))
            attempt(data.draw(st.binary(max_size=200)), data.draw(st.sampled_from(FORMATS)), kind)
            attempt(data.draw(TEXT), data.draw(st.sampled_from(FORMATS)), kind)
            items = data.draw(st.lists(VALUES, min_size=1, max_size=5))
            spelled = [json.dumps(item) for item in items]
            attempt(f"[{', '.join(spelled)}]", "json", kind, None if "NaN" in spelled else len(items))
            attempt("\n".join(spelled), "jsonl", kind, len(items))
            attempt("".join(f"- {line}\n" for line in spelled), "yaml", kind, len(items))
            with contextlib.suppress(yaml.YAMLError):
                attempt(yaml.safe_dump(data.draw(VALUES)), "yaml", kind)
            attempt(*table(*data.draw(TABLES))[:1], "csv", kind)
            content, n_rows = table(*data.draw(TABLES))
            attempt(content, "csv", kind, n_rows)

        once()
        if time.monotonic() > end:
            return


def main(seconds: float, start: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    chance = random.Random(start)  # noqa: S311
    end = time.monotonic() + seconds
    hypotheses(seconds / 2, start)
    while time.monotonic() < end:
        for _ in range(200):
            attempt(mutated(chance), chance.choice(FORMATS), chance.choice(("prompts", "queries")))
    print(json.dumps({"counts": COUNTS, "first": FIRST}))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
