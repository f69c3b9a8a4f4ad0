"""Files of prompts and queries: the same in five formats, bad ones refused with place and remedy, no row lost in silence."""

import json
import re
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iapo_core.errors import ReadingError
from iapo_core.reading import (
    PromptColumns,
    QueryColumns,
    guess_prompt_columns,
    guess_query_columns,
    read_prompts,
    read_queries,
    read_sheet,
)
from iapo_core.reading.decode import MAX_BYTES
from iapo_core.reading.sheet import FORMATS
from iapo_core.reading.write import write_rows
from iapo_core.task import Prompt, Query


def prompts_in(content, name="prompts.csv"):
    return read_prompts(read_sheet(content, name, "prompts"))


def queries_in(content, name="queries.csv"):
    return read_queries(read_sheet(content, name, "queries"))


def user(text):
    return [{"role": "user", "content": text}]


TEMPLATES = [{"id": "prompt-1", "template": "Say {q}."}, {"template": "Think, then\nsay {q}."}]
SAME = {
    "CSV": ("prompts.csv", "id,template\nprompt-1,Say {q}.\nprompt-2,\"Think, then\nsay {q}.\"\n"),
    "semicolons": ("prompts.csv", "id;template\nprompt-1;Say {q}.\nprompt-2;\"Think, then\nsay {q}.\"\n"),
    "TSV": ("prompts.tsv", "id\ttemplate\nprompt-1\tSay {q}.\nprompt-2\t\"Think, then\nsay {q}.\"\n"),
    "old Mac": ("prompts.csv", "id,template\rprompt-1,Say {q}.\rprompt-2,Think%2C then"),
    "JSON texts": ("prompts.json", json.dumps(["Say {q}.", "Think, then\nsay {q}."])),
    "JSON by id": ("prompts.json", json.dumps({"prompt-1": "Say {q}.", "prompt-2": user("Think, then\nsay {q}.")})),
    "whole task": ("task.json", json.dumps({"id": "t", "prompts": TEMPLATES})),
    "JSONL": ("prompts.jsonl", '{"id": "prompt-1", "template": "Say {q}."}\n\n{"template": "Think, then\\nsay {q}."}\n'),
    "YAML": ("prompts.yaml", "- id: prompt-1\n  template: Say {q}.\n- template: |-\n    Think, then\n    say {q}.\n"),
    "YAML by id": ("prompts.yml", "prompt-1: Say {q}.\nprompt-2: |-\n  Think, then\n  say {q}.\n"),
    "YAML documents": ("prompts.yml", "Say {q}.\n--- |-\n  Think, then\n  say {q}.\n"),
    "TXT ruled": ("prompts.txt", "Say {q}.\n\n---\nThink, then\nsay {q}.\n"),
    "TXT blank lines": ("prompts.txt", "\nSay {q}.\r\n \r\nThink, then\r\nsay {q}.\r\n"),
    "UTF-16": ("prompts.txt", "Say {q}.\n---\nThink, then\nsay {q}.".encode("utf-16")),
    "UTF-8 with a mark": ("prompts.txt", b"\xef\xbb\xbfSay {q}.\n---\nThink, then\nsay {q}."),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), SAME.values(), ids=SAME.keys())
def test_the_same_prompts_in_every_format(name, content):
    reading = prompts_in(content, name)
    second = "Think%2C then" if "%2C" in str(content) else "Think, then\nsay {q}."
    assert reading.rows == (
        {"id": "prompt-1", "title": "", "messages": user("Say {q}.")},
        {"id": "prompt-2", "title": "", "messages": user(second)},
    )
    assert not reading.problems


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{q}"}]
CHATS = {
    "role columns": ("prompts.csv", "name,System,User\np,Be brief.,{q}\n"),
    "turns in a cell": ("prompts.csv", 'id,messages\np,"' + json.dumps(CHAT).replace('"', '""') + '"\n'),
    "JSON": ("prompts.json", json.dumps([{"id": "p", "messages": CHAT}])),
    "JSONL": ("prompts.jsonl", json.dumps({"key": "p", "chat": CHAT})),
    "YAML": ("prompts.yaml", "p:\n- role: system\n  content: Be brief.\n- {role: user, content: '{q}'}\n"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), CHATS.values(), ids=CHATS.keys())
def test_chat_form(name, content):
    (row,) = prompts_in(content, name).rows
    assert row == {"id": "p", "title": "", "messages": CHAT}


FLAT = [
    {"id": "a", "question": "1+1?", "answer": 2},
    {"id": "b", "question": "capitals?", "answer": ["Oslo", "Rom"]},
    {"id": "c", "question": "open", "answer": None},
]
APART = [
    {"id": "a", "fields": {"question": "1+1?"}, "gold": "2"},
    {"id": "b", "fields": {"question": "capitals?"}, "gold": ["Oslo", "Rom"]},
    {"id": "c", "fields": {"question": "open"}},
]
QUERIES = {
    "CSV": ("q.csv", 'id,question,Answer\na,"1+1?",2\nb,"capitals?","[""Oslo"", ""Rom""]"\nc,open,\n'),
    "JSON": ("q.json", json.dumps(FLAT)),
    "fields apart": ("q.json", json.dumps({"queries": APART})),
    "JSONL": ("q.jsonl", "\n".join(map(json.dumps, FLAT))),
    "JSONL, fields apart": ("q.jsonl", "\n".join(map(json.dumps, APART))),
}


@pytest.mark.parametrize(("name", "content"), QUERIES.values(), ids=QUERIES.keys())
def test_the_same_queries_in_every_format(name, content):
    assert queries_in(content, name).rows == (
        {"id": "a", "fields": {"question": "1+1?"}, "gold": "2"},
        {"id": "b", "fields": {"question": "capitals?"}, "gold": ["Oslo", "Rom"]},
        {"id": "c", "fields": {"question": "open"}},
    )


def test_numbers_and_look_alikes_keep_their_spelling():
    yaml = "- {id: 007, question: 1e3, answer: no, day: 2020-01-01, price: 1.10, blank: }\n"
    (row,) = queries_in(yaml, "q.yaml").rows
    assert row == {"id": "007", "fields": {"question": "1e3", "day": "2020-01-01", "price": "1.10"}, "gold": "no"}
    (row,) = queries_in('[{"question": 1.10, "big": ' + "9" * 5000 + ', "is": true}]', "q.json").rows
    assert row["fields"] == {"question": "1.10", "big": "9" * 5000, "is": "true"}


def test_columns_are_guessed_and_can_be_told():
    sheet = read_sheet("Key,Prompt text,Title,notes\np,Say {q}.,Short,x\n", "p.csv", "prompts")
    guess = guess_prompt_columns(sheet)
    assert guess == PromptColumns((("user", "Prompt text"),), None, "Key", "Title")
    assert guess.unused(sheet) == ("notes",)
    told = PromptColumns((("system", "notes"), ("user", "Prompt text")))
    assert read_prompts(sheet, told).rows[0]["messages"] == [
        {"role": "system", "content": "x"},
        {"role": "user", "content": "Say {q}."},
    ]
    sheet = read_sheet("no,Question text,Label\n1,Why?,because\n", "q.csv", "queries")
    assert guess_query_columns(sheet) == QueryColumns(("no", "Question text"), "Label", None)
    told = QueryColumns(("Question text",), None, "no")
    assert read_queries(sheet, told).rows == ({"id": "1", "fields": {"Question_text": "Why?"}},)
    assert told.unused(sheet) == ("Label",)


ROWS = {
    "a cell too many": ("id,template\na,Hi\nb,one,two\nc,Ho\n", "p.csv", r"p\.csv, row 3: it has 3 cells, but the header has 2; put cells"),
    "a cell too few": ("id,template\na,Hi\nb\nc,Ho\n", "p.csv", r"row 3: it has 1 cells, but the header has 2"),
    "carriage return in a cell": ("id,template\na,Hi\nb,one\rtwo\nc,Ho\n", "p.csv", r"row 3: a carriage return stands outside quotes; put"),
    "blank text": ("id,template\na,Hi\nb,  \nc,Ho\n", "p.csv", r"row 3, column 'template': there is no text; write the prompt, or remove"),
    "id twice": ("id,template\na,Hi\na,Ho\nc,Ho\n", "p.csv", r"row 3, column 'id': the id 'a' stands in row 2 already; give each its own"),
    "id that is a path": ("id,template\na,Hi\n../b,Ho\nc,Ho\n", "p.csv", r"row 3, column 'id': begin with a letter or digit"),
    "too long": ("id,template\na,Hi\nb," + "x" * 32_001 + "\nc,Ho\n", "p.csv", r"row 3, column 'template': 32,001 characters are more"),
    "turns that are no list": ('id,messages\na,"[]"\n', "p.csv", r"row 2, column 'messages': .*add at least one"),
    "turns that are text": ("id,messages\na,Hi\n", "p.csv", r"row 2, column 'messages': turns are a list of objects with role and content"),
    "unknown role": ('[[{"role": "tool", "content": "x"}], "Hi", "Ho"]', "p.json", r"column 'messages': 1 role: Input should be 'system'"),
    "a number for a prompt": ('["Hi", 7, "Ho"]', "p.json", r"item 2: it is a number; write a text, or an object with named parts"),
    "null for a prompt": ('["Hi", null, "Ho"]', "p.json", r"item 2: it is nothing \(null\)"),
    "list for a text": ('["Hi", {"template": ["a"]}, "Ho"]', "p.json", r"item 2, column 'template': a list stands where text is expected"),
    "half a character": ('["Hi", "\\ud800", "Ho"]', "p.json", r"item 2, column 'template': it holds half of a surrogate pair"),
    "half a character in a name": ('["Hi", {"\\ud800": "x"}, "Ho"]', "p.json", r"item 2, column '\?': it holds half of a surrogate pair"),
    "NUL": ('["Hi", "a\\u0000b", "Ho"]', "p.json", r"item 2, .*: it holds the character NUL, which no database stores; remove it"),
    "NUL in YAML": ('- Hi\n- "a\\0b"\n- Ho\n', "p.yaml", r"item 2, .*: it holds the character NUL"),
    "bad line": ('"Hi"\n{"template": \n"Ho"', "p.jsonl", r"p\.jsonl, line 2: this is not valid JSON \(Expecting value.*\); write one JSON"),
    "NaN": ('"Hi"\n{"template": NaN}\n"Ho"', "p.jsonl", r"line 2: .*NaN is not a number that JSON knows"),
    "key twice": ('"Hi"\n{"template": "a", "template": "b"}\n"Ho"', "p.jsonl", r"line 2: .*the key 'template' stands twice in one object"),
    "deep line": ('"Hi"\n' + "[" * 100_000 + '\n"Ho"', "p.jsonl", r"line 2: this is not valid JSON \(it is nested too deeply\)"),
    "deep value": ('["Hi", {"x": ' + "[" * 50 + "]" * 50 + '}, "Ho"]', "p.json", r"column 'x': it is nested more than 40 levels deep"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "name", "words"), ROWS.values(), ids=ROWS.keys())
def test_a_bad_row_is_reported_and_the_others_are_taken(content, name, words):
    reading = prompts_in(content, name)
    assert len(reading.problems) == 1
    assert re.search(words, str(reading.problems[0])), str(reading.problems[0])
    assert reading.n_rejected == 1
    assert len(reading.rows) + reading.n_rejected == reading.n_rows
    assert len(str(reading.problems[0])) < 400


QUERY_ROWS = {
    "no input": ("question,gold\nWhy?,x\n,y\n", "q.csv", r"row 3, column 'question': there is no input; write it, or remove the row"),
    "gold an object": ('[{"question": "a", "gold": {"x": 1}}]', "q.json", r"item 1, column 'gold': an object stands where the gold answer"),
    "gold of lists": ('[{"question": "a", "gold": [["x"]]}]', "q.json", r"item 1, column 'gold': the gold answers are no list of texts"),
    "list for a field": ('[{"question": ["a"], "more": "b"}]', "q.json", r"column 'question': a list stands where text is expected"),
    "a field twice": ('[{"fields": {"a": "1"}, "fields.a": "2"}]', "q.json", r"'fields\.a' stands beside the fields and inside them"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "name", "words"), QUERY_ROWS.values(), ids=QUERY_ROWS.keys())
def test_a_bad_query_is_reported(content, name, words):
    reading = queries_in(content, name)
    assert re.search(words, str(reading.problems[0])), str(reading.problems[0])
    assert len(reading.rows) + reading.n_rejected == reading.n_rows


FILES = {
    "nothing": (b"", "p.csv", r"p\.csv: there is nothing in it"),
    "header alone": (b"id,template\n", "p.csv", r"there are no rows in it; add some"),
    "unknown ending": (b"x", "p.exe", r"p\.exe: files are read by their ending: csv, tsv, json"),
    "too large": (b"x" * (MAX_BYTES + 1), "p.txt", r"10,485,761 bytes are more than the 10,485,760 allowed; split the file"),
    "workbook": (b"PK\x03\x04" + b"x" * 40, "p.csv", r"an archive or a workbook \(\.xlsx\); export the sheet as CSV"),
    "gzip": (b"\x1f\x8b\x08" + b"x" * 40, "p.csv", r"compressed \(gzip\); unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"x" * 40, "p.json", r"compressed \(zstd\); unpack it"),
    "bzip2": (b"BZh91AY", "p.json", r"compressed \(bzip2\); unpack it"),
    "PDF": (b"%PDF-1.7", "p.txt", r"a PDF; copy its text"),
    "Latin-1": ("Grüße\nÄ".encode("latin-1"), "p.txt", r"line 1: byte 2 is not UTF-8 text .*; save the file as UTF-8"),
    "UTF-16 without a mark": ("Hi {q}".encode("utf-16-le"), "p.txt", r"line 1: a NUL character stands there"),
    "odd UTF-16": (b"\xff\xfeH\x00i", "p.txt", r"is not UTF-16 text"),
    "open quote": (b'id,template\na,"Hi\nb,Ho\n', "p.csv", r"p\.csv, line 3: unexpected end of data; a quote inside a quoted cell"),
    "quote in a cell": (b'id,template\na,"Hi" there\n', "p.csv", r"line 2: .*expected after.*; a quote inside a quoted cell"),
    "column twice": (b"id,template,id\na,Hi,b\n", "p.csv", r"the column 'id' stands twice in the header"),
    "65 columns": (",".join(f"c{i}" for i in range(65)).encode() + b"\n", "p.csv", r"65 columns are more than the 64 allowed"),
    "65 columns in JSON": (json.dumps([{f"c{i}": "x" for i in range(65)}]).encode(), "p.json", r"more than the 64 columns allowed"),
    "20,001 rows": (b'"Hi"\n' * 20_001, "p.jsonl", r"more than the 20,000 rows allowed; split the file"),
    "carriage return in the header": (b"id,tem\rplate\na,Hi\n", "p.csv", r"row 1: a lone carriage return stands in the header"),
    "huge cell": (b"id,template\na," + b"x" * 140_000 + b"\n", "p.csv", r"line 2: field larger than field limit"),
    "cut JSON": (b'["Hi"', "p.json", r"this is not valid JSON \(Expecting ',' delimiter"),
    "deep JSON": (b"[" * 200_000, "p.json", r"this is not valid JSON \(it is nested too deeply\)"),
    "JSON number": (b"7", "p.json", r"prompts are a list of texts or objects, not a number"),
    "empty JSON": (b"[]", "p.json", r"there are no rows in it"),
    "deep YAML": (b"[" * 50_000, "p.yaml", r"is nested more than 40 levels deep|not valid YAML"),
    "anchors": (b"a: &a [x, x]\nb: [*a, *a]\n", "p.yaml", r"line 1: anchors \(&\) and aliases \(\*\) are not taken; write the text"),
    "merge keys": (b"- &a {id: x}\n- {<<: *a}\n", "p.yaml", r"line 1: anchors"),
    "timestamp": (b"- !!timestamp x\n", "p.yaml", r"line 1: the tag tag:yaml.org,2002:timestamp is not taken; remove it"),
    "Python object": (b"!!python/object/apply:os.system ['true']", "p.yaml", r"the tag tag:yaml.org,2002:python/object/apply:os.system is"),
    "YAML name twice": (b"a: x\na: y\n", "p.yaml", r"line 2: the name 'a' stands twice; keep one of the two"),
    "YAML name that is a list": (b"? [a]\n: x\n", "p.yaml", r"line 1: a name must be plain text"),
    "bad YAML": (b"a: [\n", "p.yaml", r"p\.yaml, line 2: this is not valid YAML \(.*\); correct it there"),
    "control character in YAML": (b"- a\x07b\n", "p.yaml", r"this is not valid YAML \(.*not allowed\)"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "name", "words"), FILES.values(), ids=FILES.keys())
def test_a_bad_file_is_refused(content, name, words):
    with pytest.raises(ReadingError, match=words):
        prompts_in(content, name)


def test_pasted_text_with_half_a_character_is_reported():
    reading = read_prompts(read_sheet("Hi\n\n\ud800", "pasted text", "prompts", format="TXT"))
    assert "half of a surrogate pair" in str(reading.problems[0])
    assert len(reading.rows) == 1


def test_pasted_yaml_with_half_a_character_is_refused():
    with pytest.raises(ReadingError, match=r"pasted: it holds half of a surrogate pair, which is no character; write the whole"):
        read_sheet("- a\n- \ud800", "pasted", "prompts", format="YAML")


def test_a_yaml_of_too_many_values_is_refused():
    with pytest.raises(ReadingError, match=r"more than 400,000 values; split the file"):
        prompts_in("- [" + "a," * 400_001 + "]", "p.yaml")


def test_two_columns_of_one_field_are_refused():
    with pytest.raises(ReadingError, match=r"the columns 'a b' and 'a-b' would both be the field \{a_b\}; rename one"):
        queries_in("a b,a-b\n1,2\n")


def test_the_note_says_how_a_file_was_taken_apart():
    assert read_sheet("a\n---\nb", "p.txt", "prompts").note == "Cut at the lines of ---."
    assert "Cut at blank lines" in read_sheet("a\n\nb", "p.txt", "prompts").note
    assert read_sheet("a;b\n1;2", "p.csv", "prompts").note == "Columns are separated by semicolons."
    assert "Only its prompts" in read_sheet('{"prompts": ["a"], "id": "x"}', "t.json", "prompts").note


IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._:/+@-]{0,20}[A-Za-z0-9]", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=60).filter(str.strip)
NAMES = st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXTS}), min_size=1, max_size=3
)
PROMPTS = st.lists(
    st.fixed_dictionaries({"id": IDS, "title": TEXTS | st.just(""), "messages": TURNS | TEXTS.map(user)}),
    min_size=1, max_size=4, unique_by=lambda row: row["id"],
)  # fmt: skip


@st.composite
def query_rows(draw):
    names = draw(st.lists(NAMES | TEXTS, min_size=1, max_size=3, unique=True))
    rows = draw(
        st.lists(
            st.fixed_dictionaries(
                {"id": IDS, "fields": st.fixed_dictionaries(dict.fromkeys(names, TEXTS))},
                optional={"gold": TEXTS | st.just("") | st.lists(TEXTS, max_size=3)},
            ),
            min_size=1,
            max_size=4,
            unique_by=lambda row: row["id"],
        )
    )
    return rows


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40, deadline=None)
@given(rows=PROMPTS)
def test_written_prompts_read_back_as_they_were(format, rows):
    try:
        text = write_rows(rows, "prompts", format)
    except ReadingError:
        assert format == "TXT", "only plain text cannot hold every prompt"
        return
    again = read_prompts(read_sheet(text.encode(), f"x.{format.lower()}", "prompts"))
    assert not again.problems
    if format == "TXT":
        assert [row["messages"] for row in again.rows] == [row["messages"] for row in rows]
    else:
        assert list(again.rows) == rows
        assert [Prompt.model_validate(row).id for row in again.rows] == [row["id"] for row in rows]


@pytest.mark.parametrize("format", ["CSV", "JSON", "JSONL", "YAML"])
@settings(max_examples=40, deadline=None)
@given(rows=query_rows())
def test_written_queries_read_back_as_they_were(format, rows):
    again = read_queries(read_sheet(write_rows(rows, "queries", format).encode(), f"x.{format.lower()}", "queries"))
    assert not again.problems
    assert list(again.rows) == rows
    assert [Query.model_validate(row).id for row in again.rows] == [row["id"] for row in rows]


def test_plain_text_refuses_what_it_would_lose():
    with pytest.raises(ReadingError, match=r"holds one user turn per block, and 'p' is more than that; take JSON or CSV"):
        write_rows([{"id": "p", "messages": CHAT}], "prompts", "TXT")
    with pytest.raises(ReadingError, match=r"has a line of ---, or blank lines around it"):
        write_rows([{"id": "p", "messages": user("a\n---\nb")}], "prompts", "TXT")


def test_queries_of_different_fields_are_no_table():
    with pytest.raises(ReadingError, match=r"have different fields, which a table cannot tell from empty ones; take JSON"):
        write_rows([{"id": "a", "fields": {"x": "1"}}, {"id": "b", "fields": {"y": "1"}}], "queries", "CSV")


def test_yaml_of_several_lines_is_readable():
    rows = [{"id": "p", "title": "", "messages": user("Think.\nThen say {q}.")}]
    assert "content: |-\n" in write_rows(rows, "prompts", "YAML")
    assert textwrap.dedent(write_rows(rows, "prompts", "YAML")).count("\\n") == 0
