"""The dashboard's front door: navigation, header, and nothing else."""

import streamlit as st

from pages.shell import guard, header, sitemap, warmup

st.set_page_config(page_title="IAPO", page_icon=sitemap.MARK, layout="wide")
st.logo(sitemap.WORDMARK, size="large", icon_image=sitemap.WORDMARK)
warmup.freeze_once()
page = sitemap.navigate()
header.draw()
guard.open_page()
page.run()
