"""Framework object -> Model: one file per framework, one `export()` that picks by what it is given."""
