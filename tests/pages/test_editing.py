"""Writing a task on the Task page: uploads, pastes, tables, problems, saving; and what happens to a draft in between."""

import json

import pytest

from iapo_core.runs import catalogue, drafts, own_tasks
from iapo_core.runs.config import RunConfig
from iapo_core.task_file import read_task
from tests.pages import tiny
from tests.pages.test_pages import words_of

PROMPTS = b'id,template\nplain,"{question}"\nword,"In one word: {question}"\nbad,one,two\nempty,\n'
QUERIES = "\n".join(json.dumps({"question": f"Is {i} even?", "answer": "yes" if i % 2 == 0 else "no"}) for i in range(6))


@pytest.fixture
def draft(open_page):
    """A page that edits a new draft."""
    app = open_page("task")
    app.button(key="task-new").click().run()
    assert not app.exception
    return app


def held(app) -> dict:
    """The draft as the data folder has it."""
    return drafts.load(app.session_state["draft-id"])


def go(app, section):
    app.segmented_control(key="edit").set_value(section).run()
    assert not app.exception
    return app


def type_into(app, table, **changes):
    """Edit a table as the browser does."""
    key = f"{table}:{app.session_state['tables'][table].turn}"
    app.session_state[key] = {"edited_rows": {}, "added_rows": [], "deleted_rows": []} | changes
    app.run()
    assert not app.exception
    return app


def with_prompts(app):
    app.file_uploader(key="prompts-in:0:file").upload("prompts.csv", PROMPTS)
    app.run()
    app.button(key="prompts-add").click().run()
    return app


def with_queries(app):
    go(app, "Queries")
    app.segmented_control(key="queries-in:0:way").set_value("Paste").run()
    app.segmented_control(key="queries-in:0:format").set_value("JSONL")
    app.text_area(key="queries-in:0:text").set_value(QUERIES).run()
    app.button(key="queries-add").click().run()
    return app


def complete(app):
    app.text_input(key="draft-title").set_value("Even numbers").run()
    return with_queries(with_prompts(app))


def test_a_new_draft_says_what_is_still_to_do(draft):
    said = words_of(draft)
    assert "To do before it can be saved: 3" in said
    assert "Give the task a title." in said
    assert "There is no prompt yet" in said
    assert "There are fewer than two queries" in said
    assert draft.button(key="draft-save").disabled
    assert draft.query_params["draft"] == draft.session_state["draft-id"]


def test_an_upload_shows_its_bad_rows_and_the_good_ones_are_added(draft):
    draft.file_uploader(key="prompts-in:0:file").upload("prompts.csv", PROMPTS)
    draft.run()
    assert "2 can be added, 2 cannot" in words_of(draft)
    problems = next(frame.value for frame in draft.dataframe if "What to do" in frame.value.columns)
    assert list(problems["Row"]) == [4, 5]
    assert list(problems["Column"]) == ["–", "template"]
    draft.button(key="prompts-add").click().run()
    assert not draft.exception
    assert [prompt["id"] for prompt in held(draft)["prompts"]] == ["plain", "word"]
    assert "These 2 prompts were added" in words_of(draft), "what is left stays on the page, and is not added twice"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.csv", b"\x1f\x8b\x08xxxx", "compressed"),
        ("p.yaml", b"- &a x\n- *a\n", "anchors"),
        ("p.json", b"[1", "not valid JSON"),
        ("p.txt", "Grüße".encode("latin-1"), "save the file as UTF-8"),
        ("p.csv", b"id,id\na,b\n", "stands twice in the header"),
    ],
    ids=["gzip", "anchors", "cut", "latin-1", "column twice"],
)
def test_a_bad_file_gets_a_sentence_and_changes_nothing(draft, name, content, words):
    draft.file_uploader(key="prompts-in:0:file").upload(name, content)
    draft.run()
    assert not draft.exception
    assert "This cannot be read, so nothing was added" in words_of(draft)
    assert words in words_of(draft)
    assert held(draft)["prompts"] == []


def test_columns_are_told_with_a_click(draft):
    draft.file_uploader(key="prompts-in:0:file").upload("p.csv", b"notes,prompt\nBe brief.,{question}\n")
    draft.run()
    assert "Not used: notes" in words_of(draft)
    (box,) = [box for box in draft.selectbox if box.label == "System turn"]
    box.set_value("notes").run()
    draft.button(key="prompts-add").click().run()
    (prompt,) = held(draft)["prompts"]
    assert [turn["role"] for turn in prompt["messages"]] == ["system", "user"]
    assert prompt["id"] == "prompt-1"


def test_from_nothing_to_a_saved_task_that_can_be_run(draft):
    complete(draft)
    assert "Ready to be saved" in words_of(draft)
    assert "6 queries" in words_of(draft)
    draft.button(key="draft-save").click().run()
    assert not draft.exception
    (entry,) = [entry for entry in catalogue.tasks() if entry.origin == "live"]
    task = read_task(entry.path)
    assert (task.title, len(task.prompts), len(task.queries), task.queries[0].gold) == ("Even numbers", 2, 6, "yes")
    assert drafts.entries() == []
    assert draft.selectbox(key="task").value == entry.id
    assert "draft" not in draft.query_params
    draft.button(key="task-run").click().run()
    assert draft.title[0].value == "Set up a run"
    assert draft.selectbox(key="task").value == entry.id


def test_a_draft_survives_a_reload_and_a_restart(draft, open_page):
    complete(draft)
    draft_id = draft.session_state["draft-id"]
    again = open_page("task", draft=draft_id)
    assert not again.exception
    assert again.text_input(key="draft-title").value == "Even numbers"
    assert list(again.data_editor[0].value["Id"]) == ["plain", "word"]
    listed = open_page("task")
    assert listed.button(key=f"draft-open-{draft_id}").label == "Even numbers"
    listed.button(key=f"draft-open-{draft_id}").click().run()
    assert listed.title[0].value == "Edit a task"


def test_two_tabs_on_one_draft_lose_nothing(draft, open_page):
    other = open_page("task", draft=draft.session_state["draft-id"])
    draft.text_input(key="draft-title").set_value("Mine").run()
    assert held(draft)["title"] == "Mine"
    other.text_input(key="draft-title").set_value("Theirs").run()
    assert not other.exception
    assert sorted(entry.title for entry in drafts.entries()) == ["Mine", "Theirs"]
    assert other.query_params["draft"] == other.session_state["draft-id"] != draft.session_state["draft-id"]
    draft.text_input(key="draft-title").set_value("Mine again").run()
    other.text_input(key="draft-title").set_value("Theirs again").run()
    assert sorted(entry.title for entry in drafts.entries()) == ["Mine again", "Theirs again"]


def test_a_draft_that_another_tab_discarded_is_kept_by_who_types_on(draft, open_page):
    other = open_page("task", draft=draft.session_state["draft-id"])
    other.button(key="draft-discard").click().run()
    assert drafts.entries() == []
    draft.text_input(key="draft-title").set_value("Still here").run()
    assert [entry.title for entry in drafts.entries()] == ["Still here"]
    assert held(draft)["title"] == "Still here"


def test_an_unknown_draft_gets_a_sentence(open_page):
    for draft_id in ("0" * 12, "../../etc/passwd"):
        app = open_page("task", draft=draft_id)
        assert not app.exception
        assert "The address names a draft that is not here" in words_of(app)
        assert app.button(key="task-new")


def test_nothing_typed_is_lost_when_something_else_is_wrong(draft):
    complete(draft)
    go(draft, "Prompts")
    added = [{"Id": "third", "Text": "{qestion}"}, {"Text": "{question}!"}]
    type_into(draft, "prompts", edited_rows={0: {"Text": "{question} {nosuch}", "Title": "Odd"}}, added_rows=added)
    said = words_of(draft)
    assert "asks for 'nosuch'" in said
    assert "did you mean {question}?" in said
    assert draft.button(key="draft-save").disabled
    for section in ("Queries", "Models and decoding", "Objectives", "Contexts", "Prompts"):
        go(draft, section)
    assert [prompt["id"] for prompt in held(draft)["prompts"]] == ["plain", "word", "third", "prompt"]
    assert held(draft)["prompts"][0] == {
        "id": "plain",
        "title": "Odd",
        "messages": [{"role": "user", "content": "{question} {nosuch}"}],
    }
    assert list(draft.data_editor[0].value["Id"]) == ["plain", "word", "third", "prompt"]
    type_into(draft, "prompts", edited_rows={0: {"Text": "{question}"}}, deleted_rows=[2])
    assert "Ready to be saved" in words_of(draft)
    assert [prompt["id"] for prompt in held(draft)["prompts"]] == ["plain", "word", "prompt"]


def test_turns_are_edited_one_by_one_and_the_table_follows(draft):
    with_prompts(draft)
    draft.button(key="turn-system").click().run()
    draft.text_area(key="turn-text:0").set_value("Be brief.").run()
    draft.button(key="turn-add").click().run()
    draft.text_area(key="turn-text:2").set_value("Yes.").run()
    draft.button(key="turn-add").click().run()
    draft.text_area(key="turn-text:3").set_value("And {question}").run()
    assert not draft.exception
    prompt = held(draft)["prompts"][0]
    assert [turn["role"] for turn in prompt["messages"]] == ["system", "user", "assistant", "user"]
    assert [turn["content"] for turn in prompt["messages"]] == ["Be brief.", "{question}", "Yes.", "And {question}"]
    table = draft.data_editor[0].value
    assert (table["Turns"][0], table["Text"][0]) == (4, "And {question}")
    type_into(draft, "prompts", edited_rows={0: {"Text": "Now {question}"}})
    assert held(draft)["prompts"][0]["messages"][0]["content"] == "Be brief."
    assert draft.text_area(key="turn-text:3").value == "Now {question}"
    draft.button(key="turn-remove:2").click().run()
    assert len(held(draft)["prompts"][0]["messages"]) == 3


def test_queries_are_edited_with_fields_and_several_golds(draft):
    with_queries(draft)
    draft.text_input(key="field-new").set_value("hint text").run()
    draft.button(key="field-add").click().run()
    assert "hint_text" in draft.data_editor[0].value.columns
    type_into(draft, "queries", edited_rows={0: {"hint_text": "think", "\u200bGold": '["yes", "yep"]'}, 1: {"\u200bGold": None}})
    queries = held(draft)["queries"]
    assert queries[0]["fields"] == {"question": "Is 0 even?", "hint_text": "think"}
    assert queries[0]["gold"] == ["yes", "yep"]
    assert "gold" not in queries[1]
    draft.selectbox(key="field-old").set_value("hint_text").run()
    draft.button(key="field-remove").click().run()
    assert all(set(query["fields"]) == {"question"} for query in held(draft)["queries"])
    assert held(draft)["queries"][0]["gold"] == ["yes", "yep"]


def test_models_are_added_by_a_grid_priced_and_switched(draft):
    complete(draft)
    go(draft, "Models and decoding")
    draft.multiselect(key="grid-models").set_value(["openai/gpt-4o-mini", "openai/nosuch"])
    draft.multiselect(key="grid-temperatures").set_value(["0.7", "warm"]).run()
    draft.button(key="grid-add").click().run()
    assert "'warm' is no temperature" in words_of(draft)
    draft.multiselect(key="grid-temperatures").set_value(["0.7", "1"]).run()
    draft.button(key="grid-add").click().run()
    assert not draft.exception
    assert len(held(draft)["decoding"]) == 5
    prices = next(frame.value for frame in draft.dataframe if "Price by" in frame.value.columns)
    assert "LiteLLM" in prices["Price by"][1]
    assert list(prices["Key variable"]) == ["no key", *["OPENAI_API_KEY"] * 4]
    assert prices["Price by"][3].startswith("unknown: give both prices")
    type_into(draft, "decoding", edited_rows={3: {"$/M in": 1.0, "$/M out": 2.0}, 4: {"Temp.": 0.2}}, deleted_rows=[2])
    configs = held(draft)["decoding"]
    assert [config["temperature"] for config in configs] == [1.0, 0.7, 0.7, 0.2]
    assert configs[2]["usd_per_million_completion"] == 2.0
    assert "system" not in configs[0]
    type_into(draft, "candidates", edited_rows={1: {configs[3]["id"]: False}})
    assert held(draft)["excluded"] == [{"prompt": "word", "decoding": configs[3]["id"]}]
    assert "7 of 8 are on" in words_of(draft)
    type_into(draft, "decoding", edited_rows={4: {"Model": ""}}, deleted_rows=[2])
    assert draft.button(key="draft-save").disabled
    type_into(draft, "decoding", deleted_rows=[2, 4])
    assert held(draft)["excluded"] == [], "what is gone is not switched off any more"
    draft.number_input(key="n-max").set_value(4).run()
    assert held(draft)["n_max"] == 4
    assert not draft.button(key="draft-save").disabled


def test_a_key_in_place_of_its_variable_is_not_repeated(draft):
    go(draft, "Models and decoding")
    type_into(draft, "decoding", edited_rows={0: {"Key variable": "sk-secret-1"}})
    assert "never the key itself" in words_of(draft)
    assert "sk-secret-1" not in words_of(draft)


def test_contexts_are_a_table_or_a_grid(draft):
    go(draft, "Objectives")
    go(draft, "Contexts")
    name = "contexts-correct"
    type_into(
        draft, name, edited_rows={0: {"correct": 0.5}}, added_rows=[{"\u200bTitle": "Mine", "correct": 2.0, "\u200bCost": 0.1}]
    )
    assert held(draft)["contexts"][0]["weights"] == {"correct": 0.5}
    assert held(draft)["contexts"][3] == {"id": "context", "title": "Mine", "weights": {"correct": 2.0}, "cost_weight": 0.1}
    draft.multiselect(key="grid-costs").set_value(["0", "1"]).run()
    draft.button(key="grid-contexts").click().run()
    assert [context["id"] for context in held(draft)["contexts"]] == ["mix-1/cost-0", "mix-1/cost-1"]


def test_a_sample_is_duplicated_and_the_copy_is_a_draft(open_page):
    app = open_page("task", task=tiny.BEST)
    app.button(key="task-duplicate").click().run()
    assert not app.exception
    assert app.text_input(key="draft-title").value == "Tiny best (copy)"
    assert held(app)["origin"] == "live"
    assert "recording" not in held(app)
    app.button(key="draft-discard").click().run()
    assert drafts.entries() == []
    assert app.title[0].value == "Task"


def test_a_closed_draft_is_kept(draft):
    draft.button(key="draft-close").click().run()
    assert draft.title[0].value == "Task"
    assert len(drafts.entries()) == 1


@pytest.fixture
def kept(store):
    draft = drafts.of_task(read_task(catalogue.task_entry(tiny.VOTE).path), title="Mine")
    task, found = drafts.check(draft)
    assert found == []
    return catalogue.keep_task(task)


def test_samples_offer_neither_rename_nor_delete(open_page, kept):
    keys = {button.key for button in open_page("task", task=tiny.VOTE).button}
    assert not keys & {"task-rename", "task-delete"}
    assert {"task-rename", "task-delete"} <= {button.key for button in open_page("task", task=kept).button}


def test_an_own_task_is_renamed_and_deleted(open_page, kept):
    app = open_page("task", task=kept)
    app.text_input(key=f"task-title:{kept}").set_value("Better").run()
    app.button(key="task-rename").click().run()
    assert catalogue.task_entry(kept).title == "Better"
    app.button(key="task-delete").click().run()
    assert not app.exception
    assert kept not in {entry.id for entry in catalogue.tasks()}


def test_a_task_is_not_deleted_under_a_run_and_its_runs_outlive_it(open_page, store, kept):
    task = read_task(catalogue.task_entry(kept).path)
    fingerprint = catalogue.task_fingerprint(kept)
    run_id = store.create_run(
        RunConfig(task=kept, task_fingerprint=fingerprint, budget=40, n_max=2, contexts=task.contexts, live={})
    )
    app = open_page("task", task=kept)
    assert app.button(key="task-delete").disabled
    assert "Cancel them first" in words_of(app)
    store.request(run_id, "cancel")
    own_tasks.delete_task(store, kept)
    for page in ("run", "results", "export"):
        seen = open_page(page, run=run_id)
        assert not seen.exception
        assert "Task deleted" in words_of(seen), page
        assert "If there was one, it was deleted" in words_of(seen), page
    assert not open_page("home").exception


def test_a_whole_task_file_becomes_a_draft(open_page, store):
    raw = (catalogue.task_entry(tiny.VOTE).path / "task.json").read_bytes()
    app = open_page("task")
    app.file_uploader(key="task-file").upload("task.json", raw.replace(b'"n_max": 4', b'"n_max": 0'))
    app.run()
    app.button(key="task-file-open").click().run()
    assert "This is no task yet" in words_of(app)
    assert "task.json: n_max: Input should be greater" in words_of(app)
    app.file_uploader(key="task-file").upload("task.json", raw)
    app.run()
    app.button(key="task-file-open").click().run()
    assert not app.exception
    assert held(app)["title"] == "Tiny vote"
