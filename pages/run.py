"""Run: set the budget and the contexts, start, and watch arms being trimmed."""

import streamlit as st

from iapo_core.errors import IapoError, LiveError
from iapo_core.runs.store import RunRow
from pages.shell import evidence, guard, keys, live, session, setup, sitemap, tasks, words

guard.enter()


def main() -> None:
    """Draw the settings, or the run that is open."""
    run = session.row()
    if run is None:
        st.title("Set up a run")
        st.caption("Choose what may be spent and what counts. Nothing is bought before you press Start.")
        setup.draw()
        return
    heading, buttons = st.columns([3, 2], vertical_alignment="center")
    with heading:
        st.title(words.headline(run))
        is_failed = run.state == "failed"
        st.caption(words.NEXT_STEP[run.state] + (f" {words.escape(run.message)}" if run.message and not is_failed else ""))
    with buttons:
        controls(run)
    if is_failed:
        with st.container(border=True, key="why"):
            st.markdown(":red[:material/error:] **Why it stopped.** What was paid for is kept.")
            st.text(run.message)
    if waits_for_keys(run):
        with st.container(border=True, key="keys-wanted"):
            st.markdown(
                ":material/key: **This run needs its key again.** Give it, then press Resume; it goes on where it stopped."
            )
            keys.ask(tasks.of_run(run), run.config.live)
    live.draw(run)
    if run.state == "finished" and run.config.live is not None and (why := evidence.of(run).unchecked):
        st.info(why, icon=":material/info:")


def waits_for_keys(run: RunRow) -> bool:
    """Return whether a run can only go on with keys that were typed for it, which are stored nowhere."""
    return run.needs_keys and run.state in ("stopped", "failed") and tasks.of_run(run) is not None


def controls(run: RunRow) -> None:
    """Offer what can be done with the run in its state."""
    with st.container(horizontal=True, horizontal_alignment="right", key="run-controls"):
        if run.is_active and run.config.live is not None:
            st.button(
                "Pause",
                icon=":material/pause:",
                key="pause",
                on_click=ask,
                args=(run.id, "pause"),
                help="Stops buying once the calls in flight have answered. Resume goes on from there.",
            )
        if run.is_active:
            st.button(
                "Cancel",
                icon=":material/stop:",
                key="cancel",
                on_click=ask,
                args=(run.id, "cancel"),
                help="Stops buying. What was paid for is kept and can be looked at.",
            )
        if run.state in ("stopped", "failed"):
            st.button(
                "Resume",
                type="primary",
                icon=":material/play_arrow:",
                key="resume",
                on_click=ask,
                args=(run.id, "resume"),
                help="Does only what is outstanding.",
            )
        if run.policy is not None and st.button(
            "See the results",
            type="primary" if run.state == "finished" else "secondary",
            icon=":material/insights:",
            key="to-results",
            help="The pick per context and why.",
        ):
            st.switch_page(sitemap.RESULTS, query_params={"run": run.id})
        if not run.is_active and (run.config.live is None or run.state != "stopped"):  # a paused purchase is resumed
            st.button(
                "Run again",
                icon=":material/replay:",
                key="again",
                on_click=setup.another,
                args=(run.config,),
                help="Opens these settings, ready to be changed.",
            )
        st.button(
            "New run", icon=":material/add:", key="new", on_click=setup.another, help="Sets up another run; this one is kept."
        )


def ask(run_id: str, what: str) -> None:
    """Pass a wish on to the worker; a run with typed keys goes on when they are at hand."""
    try:
        run = session.store().run(run_id)
        if what != "resume" or not waits_for_keys(run):
            session.ask(run_id, what)
            return
        task, live = tasks.of_run(run), run.config.live
        if lacking := keys.missing(task, live):
            raise LiveError(f"The key for {', '.join(lacking)} is missing: paste it into its field and press Enter, then resume.")
        session.ask(run_id, what, keys.held(task, live))
    except IapoError as error:
        st.session_state["refused"] = str(error)


if refused := st.session_state.pop("refused", None):
    st.warning("That was not possible.", icon=":material/info:")
    st.text(refused)
main()
