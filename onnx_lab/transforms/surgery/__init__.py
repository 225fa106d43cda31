"""Surgery: one edit per file, each ``Model -> Model``. `onnx_lab.surgery` is the door; what all share is in `_edit`."""
