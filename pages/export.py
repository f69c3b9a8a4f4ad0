"""Export: take the policy away as a file, and load it in your own code."""

import pandas as pd
import streamlit as st

from iapo_core.errors import IapoError
from iapo_core.outputs import completions
from iapo_core.outputs.export import run_policy, scores_csv
from iapo_core.policy import Policy
from pages.shell import evidence, guard, session, sitemap, words
from pages.shell.evidence import Evidence

guard.enter()

SNIPPET = """from iapo_core import Policy

policy = Policy.load({file!r})
policy.contexts  # the preferences that it serves
arm = policy.arm({context!r})  # arm.candidate and arm.n
"""
PAIRS = (
    "For each prompt and query the best and the worst completion by the first context's weights, as chosen and rejected. "
    "Trainers of preferences read this form."
)
DEPLOY = """from iapo_core.task import Query

query = Query(id="mine", fields={fields!r})
messages = policy.messages({context!r}, query.fields)
answers = [...]  # send the messages arm.n times: the texts
best = policy.aggregate({context!r}, answers, query)
"""


def main() -> None:
    """Draw the page."""
    run = session.row_or_showcase()
    found = evidence.of(run)
    st.title("Export")
    try:
        policy = run_policy(run)
    except IapoError as error:
        st.info("There is no policy to export yet.", icon=":material/hourglass_empty:")
        st.text(str(error))
        st.page_link(sitemap.RUN, label="Back to the run", query_params={"run": run.id})
        return
    if run.state != "finished":
        st.warning(
            f"This run is {run.state}. The policy is the best that it knew of by then, and says so.", icon=":material/info:"
        )
    stem = f"{'SIMULATED-' if policy.is_simulated else ''}iapo-{run.config.task}-{run.id}"
    downloads(found, policy, stem)
    texts(found, stem)
    left, right = st.columns(2, gap="large")
    with left:
        code(found, policy, f"{stem}.json")
    with right:
        contents(found, policy)


def downloads(found: Evidence, policy: Policy, stem: str) -> None:
    """Offer the files; they are made when asked for."""
    if policy.is_simulated:
        st.warning(
            "This policy was learnt from a SIMULATED task; its file name and its content say so.", icon=":material/casino:"
        )
    with st.container(horizontal=True):
        st.download_button(
            "Policy (JSON)",
            data=policy.to_json,
            file_name=f"{stem}.json",
            mime="application/json",
            type="primary",
            key="download-policy",
            on_click="ignore",
            icon=":material/download:",
            help="Everything that deployment needs: picks, prompts, scorers and where they come from.",
        )
        for source, label in (("heldout", "Estimates on queries kept aside (CSV)"), ("train", "Estimates of the run (CSV)")):
            scores = found.heldout if source == "heldout" else found.drawn
            st.download_button(
                label,
                data=lambda scores=scores: scores_csv(scores(found.contexts), is_simulated=policy.is_simulated),
                file_name=f"{stem}-{source}.csv",
                mime="text/csv",
                key=f"download-{source}",
                on_click="ignore",
                icon=":material/table_rows:",
                help="Every arm in every context with its interval.",
            )


def texts(found: Evidence, stem: str) -> None:
    """Offer the completions behind the run; they are gathered when asked for."""
    environment = found.environment
    if not isinstance(environment, completions.Texts):
        return
    is_live = found.config.live is not None
    st.subheader("The completions behind it", anchor=False)
    st.caption(
        "Every completion that this run drew, with its scores, tokens and dollars."
        if is_live
        else "Every completion of the recording that this run drew from, with its scores and tokens."
    )
    weights = found.config.contexts[0].weights
    files = (
        ("CSV", "csv", "text/csv", completions.as_csv),
        ("Parquet", "parquet", "application/vnd.apache.parquet", completions.as_parquet),
        ("JSONL", "jsonl", "application/jsonl", completions.as_jsonl),
        ("Preference pairs (JSONL)", "pairs.jsonl", "application/jsonl", lambda of: completions.preference_pairs(of, weights)),
    )
    with st.container(horizontal=True):
        for label, ending, mime, make in files:
            st.download_button(
                label,
                data=lambda make=make: make(environment),
                file_name=f"{stem}-completions.{ending}",
                mime=mime,
                key=f"download-{ending}",
                on_click="ignore",
                icon=":material/download:",
                help=PAIRS if ending == "pairs.jsonl" else "One row per completion.",
            )


def code(found: Evidence, policy: Policy, file: str) -> None:
    """Show how to use the file."""
    context = policy.choices[0].context
    st.subheader("Use it in Python", anchor=False)
    st.code(SNIPPET.format(file=file, context=context), language="python", wrap_lines=True)
    if found.task is not None:
        st.code(DEPLOY.format(context=context, fields=found.task.queries[0].fields), language="python", wrap_lines=True)
    with st.expander("The file", icon=":material/data_object:", key="policy-text"):
        st.code(policy.to_json(), language="json", height=420)


def contents(found: Evidence, policy: Policy) -> None:
    """Say what the policy contains."""
    st.subheader("What it contains", anchor=False)
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "Context": found.context_titles[choice.context],
                    "Prompt": found.titles[choice.candidate],
                    "N": choice.n,
                    "Utility": words.number(choice.estimate.value) if choice.estimate else "not checked",
                }
                for choice in policy.choices
            ]
        ),
        hide_index=True,
        key="policy-picks",
        column_config={"Utility": st.column_config.TextColumn(help="Held-out estimate of the pick.")},
    )
    st.caption(words.STRATEGIES[policy.strategy])
    if policy.candidates:
        st.caption(
            f"{len(policy.candidates)} prompt{'s' if len(policy.candidates) != 1 else ''} with texts and decoding settings, the "
            "scorers, and where it comes from:"
        )
    else:
        st.caption("The task carries no texts, so the policy names arms only. Where it comes from:")
    st.dataframe(
        {"Setting": list(policy.provenance), "Value": [str(value) for value in policy.provenance.values()]},
        hide_index=True,
        key="provenance",
    )


main()
