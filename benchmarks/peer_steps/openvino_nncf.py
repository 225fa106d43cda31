"""OpenVINO's own converter and NNCF: files for OpenVINO's runtime, and NNCF's ONNX file for ONNX Runtime."""

import nncf
import onnx
import openvino as ov
from _told import calibration, folders, told

source, out = folders()
data = nncf.Dataset(calibration(source))
options = {"subset_size": len(calibration(source)), "fast_bias_correction": True}
if (source / "hf").exists() or source.name.startswith("clip"):
    options["model_type"] = nncf.ModelType.TRANSFORMER
model = ov.convert_model(source / "raw.onnx")
ov.save_model(model, out / "exact.xml", compress_to_fp16=False)
ov.save_model(nncf.quantize(model, data, **options), out / "int8.xml", compress_to_fp16=False)
onnx.save(nncf.quantize(onnx.load(source / "raw.onnx"), data, **options), out / "nncf.onnx")
told(
    ("OpenVINO, float32", out / "exact.xml", "openvino_f32", "exact"),
    ("OpenVINO, its default precision", out / "exact.xml", "openvino", "exact"),
    ("OpenVINO and NNCF, int8", out / "int8.xml", "openvino", "int8"),
    ("NNCF's ONNX file on ORT, int8", out / "nncf.onnx", "onnxruntime", "int8"),
)
