"""Model -> Model: one verb per file. A transform returns a new Model or raises; its input is never touched."""
