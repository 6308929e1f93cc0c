"""The dashboard: a page for the browser, built from `dashboard/` at the top, and who serves it."""
