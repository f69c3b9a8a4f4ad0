"""The completions of a run as files: every text with its scores, tokens and dollars, and pairs to learn a preference from."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from iapo_core.environments import RecordedEnvironment
from iapo_core.environments.recorded import Completion
from iapo_core.environments.stored import StoredEnvironment
from iapo_core.outputs.export import safe_csv

Texts = RecordedEnvironment | StoredEnvironment


def rows(environment: Texts) -> Iterator[dict[str, Any]]:
    """Yield one row per completion at hand: of a live run what it drew, of a recording what is stored."""
    heldout = set(environment.split.heldout.tolist())
    for p, q, completions in _cells(environment):
        prompt, decoding = environment.task.candidates[p]
        for sample, one in enumerate(completions):
            yield {
                "prompt": prompt.id,
                "decoding": decoding.id,
                "model": decoding.model,
                "query": environment.task.queries[q].id,
                "split": "heldout" if q in heldout else "train",
                "sample": sample,
                "text": one.text,
                "answer": one.answer,
                **{f"score_{name}": score for name, score in zip(environment.objectives, one.scores, strict=True)},
                "cost": one.cost,
                "prompt_tokens": one.prompt_tokens,
                "completion_tokens": one.completion_tokens,
                "usd": None if one.usd != one.usd else one.usd,
                "finish_reason": one.finish_reason,
                "error": one.error,
                "origin": environment.task.origin,
            }


def as_jsonl(environment: Texts) -> bytes:
    """Return one JSON object a line."""
    return b"".join(_line(row) for row in rows(environment))


def as_csv(environment: Texts) -> bytes:
    """Return CSV in which no cell starts a formula when a spreadsheet opens it."""
    table = list(rows(environment))
    header = list(table[0]) if table else []
    return safe_csv(header, [list(row.values()) for row in table]).encode("utf-8", "surrogatepass")


def as_parquet(environment: Texts) -> bytes:
    """Return a parquet file."""
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows(environment))), buffer)
    return buffer.getvalue()


def preference_pairs(environment: Texts, weights: Mapping[str, float]) -> bytes:
    """Return pairs of a better and a worse answer to the same messages, one JSON object a line, as trainers of preferences read.

    One pair for each prompt and query whose completions differ in score: the best and the worst, failed ones left out.

    Args:
        environment: Where the texts are.
        weights: What counts, by objective.
    """
    lines = []
    for p, q, completions in _cells(environment):
        prompt, decoding = environment.task.candidates[p]
        query = environment.task.queries[q]
        valued = [(_value(environment, one, weights), one) for one in completions if one.error is None]
        if not valued:
            continue
        high, chosen = max(valued, key=lambda pair: pair[0])
        low, rejected = min(valued, key=lambda pair: pair[0])
        if high > low:
            lines.append(
                _line(
                    {
                        "prompt": decoding.messages(prompt, query.fields),
                        "chosen": [{"role": "assistant", "content": chosen.text}],
                        "rejected": [{"role": "assistant", "content": rejected.text}],
                        "score_chosen": high,
                        "score_rejected": low,
                        "prompt_id": prompt.id,
                        "query_id": query.id,
                        "model": decoding.model,
                        "origin": environment.task.origin,
                    }
                )
            )
    return b"".join(lines)


def _cells(environment: Texts) -> Iterator[tuple[int, int, list[Completion]]]:
    for p in range(len(environment.candidates)):
        for q in range(environment.n_queries):
            if completions := environment.texts(p, q):
                yield p, q, completions


def _value(environment: Texts, one: Completion, weights: Mapping[str, float]) -> float:
    return sum(weights.get(name, 0.0) * score for name, score in zip(environment.objectives, one.scores, strict=True))


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
