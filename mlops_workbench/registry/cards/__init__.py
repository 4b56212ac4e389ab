"""Cards of model versions: built from what is known, and rendered as Markdown, HTML and JSON (pure functions)."""
