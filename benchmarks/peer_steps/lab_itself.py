"""The lab, the same files that Olive makes: optimized, that in int8, the export in int8 and 4 bits; nothing timed."""

import os

from _told import folders, told

import onnx_lab as lab

source, out = folders()
os.environ["ONNX_LAB_HOME"] = str(out / "home")  # nothing that was made before

exported = lab.export(str(source / "hf"))
optimized = lab.optimize(exported, target="cpu")
made = {
    "onnx_lab, optimized": (optimized, "exact"),
    "onnx_lab, optimized, dynamic int8": (lab.quantize(optimized), "int8"),
    "onnx_lab, dynamic int8": (lab.quantize(exported), "int8"),
    "onnx_lab, 4 bits": (lab.quantize(exported, method="int4"), "int4"),
}
for i, m in enumerate(made.values()):
    m[0].save(out / f"{i}.onnx")
told(*((name, out / f"{i}.onnx", "onnxruntime", kind) for i, (name, (_, kind)) in enumerate(made.items())))
