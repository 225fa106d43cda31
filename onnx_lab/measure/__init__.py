"""Models -> results: one verb per file. Nothing here changes a Model or draws a picture."""
