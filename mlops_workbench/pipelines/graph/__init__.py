"""The graph of a pipeline, drawn as text and as SVG."""
