"""Drafts outlive the session, own tasks can be renamed and deleted, samples cannot."""

import json

import pytest

from iapo_core.errors import TaskError
from iapo_core.runs import catalogue, drafts, own_tasks
from iapo_core.runs.config import RunConfig
from iapo_core.runs.store import Store
from iapo_core.task_file import read_task


def full() -> drafts.Draft:
    prompts = [{"id": "p", "title": "", "messages": [{"role": "user", "content": "{q}"}]}]
    queries = [{"id": f"q{i}", "fields": {"q": str(i)}, "gold": "a"} for i in range(5)]
    return drafts.empty() | {"title": "My Task!", "prompts": prompts, "queries": queries}


def test_an_empty_draft_lacks_a_title_prompts_and_queries_only(home):
    task, found = drafts.check(drafts.empty())
    assert task is None
    assert [line.partition(":")[0] for line in found] == ["title", "prompts", "queries"]
    task, found = drafts.check(full())
    assert found == []
    assert (task.id, task.origin, len(task.candidates)) == ("my-task", "live", 1)


def test_what_a_scorer_refuses_keeps_a_draft_from_being_saved(home):
    draft = full()
    draft["objectives"][0]["scorer"] = "nosuch"
    task, (line,) = drafts.check(draft)
    assert task is None
    assert line.startswith("Objective 'correct'")
    assert "not installed" in line


def test_a_draft_is_kept_as_it_is_even_if_it_is_wrong(home):
    odd = full() | {"title": "half \ud800 \0", "n_max": None, "prompts": [{"id": "", "title": "", "messages": []}]}
    draft_id = drafts.keep(odd)
    assert drafts.load(draft_id) == odd
    assert drafts.keep(odd | {"title": "other"}, draft_id) == draft_id
    (entry,) = drafts.entries()
    assert (entry.id, entry.title, entry.n_prompts, entry.n_queries) == (draft_id, "other", 1, 5)
    assert [path.suffix for path in (home / "drafts").iterdir()] == [".json"]
    drafts.discard(draft_id)
    drafts.discard(draft_id)
    assert drafts.entries() == []
    with pytest.raises(TaskError, match=r"There is no draft .* here; it may have been saved as a task or discarded"):
        drafts.load(draft_id)


@pytest.mark.parametrize("draft_id", ["../../etc/passwd", "", "abc", "0" * 13, "g" * 12])
def test_a_draft_is_no_path(home, draft_id):
    with pytest.raises(TaskError, match="twelve hexadecimal digits"):
        drafts.load(draft_id)


def test_a_sample_becomes_a_draft_that_is_a_live_task(home):
    draft = drafts.of_task(read_task(catalogue.task_entry("explain").path), title="Mine")
    task, found = drafts.check(json.loads(json.dumps(draft)))
    assert found == []
    assert (task.origin, task.title, task.recording) == ("live", "Mine", None)
    assert len(task.prompts) == 12
    assert [config.model for config in task.decoding] == ["local/smollm2"], "no key is needed to run it"
    assert read_task(catalogue.task_entry("explain").path).decoding[0].model == "openai/smollm2"


@pytest.fixture
def kept(home):
    task, _ = drafts.check(full())
    return catalogue.keep_task(task)


def queued(store: Store, task_id: str) -> str:
    environment_contexts = catalogue.read_task(catalogue.task_entry(task_id).path).contexts
    fingerprint = catalogue.task_fingerprint(task_id)
    return store.create_run(
        RunConfig(task=task_id, task_fingerprint=fingerprint, budget=9, n_max=8, contexts=environment_contexts)
    )


def test_a_renamed_task_is_the_same_task(kept):
    before = catalogue.task_fingerprint(kept)
    own_tasks.rename_task(kept, "  Better\nname ")
    entry = catalogue.task_entry(kept)
    assert (entry.id, entry.title) == (kept, "Better name")
    assert catalogue.task_fingerprint(kept) == before
    with pytest.raises(TaskError, match=r"A title has 1 to 200 characters, not 0; write another"):
        own_tasks.rename_task(kept, " ")


def test_a_deleted_task_is_gone_but_not_while_it_runs(kept, home):
    store = Store.open()
    run_id = queued(store, kept)
    assert own_tasks.runs_of(store, kept) == (1, 0)
    with pytest.raises(TaskError, match=r"1 run\(s\) of task .* are queued or running, so it was not deleted; cancel them first"):
        own_tasks.delete_task(store, kept)
    store.request(run_id, "cancel")
    own_tasks.delete_task(store, kept)
    with pytest.raises(TaskError, match=r"There is no task .*\. If there was one, it was deleted"):
        catalogue.task_entry(kept)
    assert list((home / "tasks").iterdir()) == []
    assert store.run(run_id).config.task == kept, "the run stays"
    store.close()


def test_samples_are_left_alone(home):
    store = Store.open()
    with pytest.raises(TaskError, match=r"is a bundled sample, which cannot be renamed; duplicate it instead"):
        own_tasks.rename_task("topics", "x")
    with pytest.raises(TaskError, match=r"is a bundled sample, which cannot be deleted; duplicate it instead"):
        own_tasks.delete_task(store, "topics")
    store.close()


def test_a_context_without_a_weight_and_a_local_model_with_an_address_are_to_dos(home):
    draft = full()
    draft["contexts"][1]["weights"] = {"correct": 0.0}
    draft["decoding"][0]["api_base"] = "http://127.0.0.1:9/v1"
    task, found = drafts.check(draft)
    assert task is None
    assert len(found) == 2
    assert found[0].startswith("contexts row 2 ('thrifty') gives every objective the weight 0")
    assert found[1] == "decoding row 1 ('local'): the local model brings its own address; clear the Base URL."


def test_a_missing_gold_answer_is_said_beside_what_else_is_wrong(home):
    draft = full() | {"title": ""}
    del draft["queries"][3]["gold"]
    _, found = drafts.check(draft)
    assert found[0].startswith("title: ")
    assert any("'q3' has no single gold answer" in line for line in found)
    draft["prompts"][0]["messages"][0]["content"] = "{qq}"
    _, found = drafts.check(draft | {"title": "T"})
    assert any(line.endswith("did you mean {q}?") for line in found)
    assert any("'q3' has no single gold answer" in line for line in found)


def test_without_an_objective_one_sentence_says_so(home):
    draft = full() | {"objectives": []}
    for context in draft["contexts"]:
        context["weights"] = {}
    assert drafts.check(draft) == (None, ["objectives: there is none; add at least one."])
