"""ONNX Runtime's own scripts, in the order of its tutorials, with the two repairs without which they fail today."""

import onnx
from _told import calibration, folders, told

source, out = folders()
made = [("ORT, as exported", source / "raw.onnx", "onnxruntime", "exact")]


def transformer():
    """The TorchScript export in eager attention: the only one in which the optimizer finds its attention blocks."""
    import torch
    from onnxruntime.transformers import optimizer
    from transformers import AutoModelForSequenceClassification

    net = AutoModelForSequenceClassification.from_pretrained(source / "hf", attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    ids = torch.ones(2, 16, dtype=torch.int64)
    axes = {n: {0: "batch", 1: "sequence"} for n in names}
    torch.onnx.export(
        net,
        (ids, torch.ones_like(ids), torch.zeros_like(ids)),
        out / "eager.onnx",
        dynamo=False,
        input_names=names,
        output_names=["logits"],
        dynamic_axes={**axes, "logits": {0: "batch"}},
        opset_version=17,
    )
    heads, width = net.config.num_attention_heads, net.config.hidden_size
    fused = optimizer.optimize_model(str(out / "eager.onnx"), model_type="bert", num_heads=heads, hidden_size=width)
    fused.save_model_to_file(str(out / "fused.onnx"))
    return out / "fused.onnx"


def dynamic_int8(file, name):
    """Without its value_info and with a default type: `quantize_dynamic` fails otherwise (F1 and F2 of the tests)."""
    from onnxruntime.quantization import quantize_dynamic

    model = onnx.load(file)
    del model.graph.value_info[:]
    quantize_dynamic(model, out / name, per_channel=True, extra_options={"DefaultTensorType": 1})
    return out / name


def static_int8():
    """All operators but the last, from calibration data, after the pre-processing that it asks for."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        batches = iter(calibration(source))

        def get_next(self):
            return next(self.batches, None)

    quant_pre_process(source / "raw.onnx", out / "prepared.onnx", skip_symbolic_shape=True)
    last = [n.name for n in onnx.load(out / "prepared.onnx").graph.node if n.op_type == "Softmax"]
    quantize_static(out / "prepared.onnx", out / "static.onnx", Reader(), per_channel=True, nodes_to_exclude=last)
    return out / "static.onnx"


if (source / "hf").exists():
    fused = transformer()
    made += [
        ("ORT, transformer optimizer", fused, "onnxruntime", "exact"),
        ("ORT, as exported, dynamic int8", dynamic_int8(source / "raw.onnx", "raw-int8.onnx"), "onnxruntime", "int8"),
        ("ORT, optimizer, dynamic int8", dynamic_int8(fused, "fused-int8.onnx"), "onnxruntime", "int8"),
    ]
else:
    convolutional = sum(n.op_type == "Conv" for n in onnx.load(source / "raw.onnx").graph.node) > 1
    if not convolutional:
        made.append(("ORT, dynamic int8", dynamic_int8(source / "raw.onnx", "int8.onnx"), "onnxruntime", "int8"))
    made.append(("ORT, static int8", static_int8(), "onnxruntime", "int8"))
told(*made)
