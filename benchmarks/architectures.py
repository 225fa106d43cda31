"""The architectures of docs/frameworks.md: real classes, built from a small config with random weights, no download."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Architecture:
    """One row of the table.

    Attributes
    ----------
    family : str
        Who writes the framework: Hugging Face, timm, torchvision, Keras, scikit-learn, Paddle.
    name : str
        The class, as its users know it.
    task : str
        What it is asked for.
    build : callable
        () -> the model, in eval mode or fitted.
    example : callable, optional
        () -> ``example=``, where the exporter finds no inputs by itself.
    """

    family: str
    name: str
    task: str
    build: Callable[[], Any]
    example: Callable[[], Any] | None = None


def architectures() -> list[Architecture]:
    """All rows, in the order of the table. Builds nothing yet."""
    return [*_texts(), *_pictures_and_sound(), *_torch_pictures(), *_keras(), *_sklearn(), *_paddle()]


_TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 200,
    "max_position_embeddings": 64,
}
_STATES = {k: v for k, v in _TEXT.items() if k not in ("vocab_size", "max_position_embeddings")}
_DISTIL = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, "vocab_size": 200, "max_position_embeddings": 64}
_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 200}
_GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 200, "n_positions": 64}
_IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_MARKS = {"cls_token_id": 1, "sep_token_id": 2}
_NARROW = {"embedding_size": 32}
_WHISPER = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "vocab_size": 200,
    "max_source_positions": 50,
    "decoder_start_token_id": 1,
    **_IDS,
}


def _pretrained(name: str, config: str, **options: Any) -> Callable[[], Any]:
    def build() -> Any:
        import torch
        import transformers

        torch.manual_seed(0)
        return getattr(transformers, name)(getattr(transformers, config)(**options)).eval()

    return build


def _texts() -> list[Architecture]:
    rows = [
        ("BertForSequenceClassification", "sequence classification", "BertConfig", _TEXT),
        ("DistilBertForTokenClassification", "token classification", "DistilBertConfig", _DISTIL),
        ("RobertaForQuestionAnswering", "question answering", "RobertaConfig", _TEXT),
        ("AlbertForMaskedLM", "masked LM", "AlbertConfig", {**_TEXT, **_NARROW}),
        (
            "ElectraForSequenceClassification",
            "sequence classification",
            "ElectraConfig",
            {**_TEXT, **_NARROW},
        ),
        ("MPNetModel", "feature extraction", "MPNetConfig", _TEXT),
        ("XLMRobertaForTokenClassification", "token classification", "XLMRobertaConfig", _TEXT),
        (
            "ModernBertForMaskedLM",
            "masked LM",
            "ModernBertConfig",
            {**_TEXT, **_IDS, **_MARKS},
        ),
        ("DebertaV2ForSequenceClassification", "sequence classification", "DebertaV2Config", _TEXT),
        ("T5EncoderModel", "feature extraction", "T5Config", _T5),
        ("GPT2ForSequenceClassification", "sequence classification", "GPT2Config", {**_GPT2, **_IDS}),
        ("CLIPTextModel", "feature extraction", "CLIPTextConfig", {**_TEXT, **_IDS}),
    ]
    return [Architecture("Hugging Face", n, task, _pretrained(n, c, **o)) for n, task, c, o in rows]


def _pictures_and_sound() -> list[Architecture]:
    image = {"image_size": 32, "patch_size": 8}
    swin = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
    rows = [
        ("ViTForImageClassification", "image classification", "ViTConfig", {**_STATES, **image}),
        ("DeiTForImageClassification", "image classification", "DeiTConfig", {**_STATES, **image}),
        ("SwinForImageClassification", "image classification", "SwinConfig", swin),
        ("CLIPVisionModel", "feature extraction", "CLIPVisionConfig", {**_STATES, **image}),
    ]
    whisper = Architecture("Hugging Face", "Whisper encoder", "feature extraction", _whisper, _whisper_input)
    return [*(Architecture("Hugging Face", n, task, _pretrained(n, c, **o)) for n, task, c, o in rows), whisper]


def _whisper() -> Any:
    import transformers

    return transformers.WhisperModel(transformers.WhisperConfig(**_WHISPER)).eval().get_encoder()


def _whisper_input() -> Any:
    import torch

    return torch.randn(2, 80, 100)


def _timm(name: str, **options: Any) -> Callable[[], Any]:
    def build() -> Any:
        import timm
        import torch

        torch.manual_seed(0)
        return _seen_data(timm.create_model(name, pretrained=False, num_classes=10, **options))

    return build


def _torchvision(kind: str, **options: Any) -> Callable[[], Any]:
    def build() -> Any:
        import torch
        import torchvision

        torch.manual_seed(0)
        return _seen_data(getattr(torchvision.models, kind)(**options))

    return build


def _detector() -> Any:
    import torchvision

    make = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    return make(weights=None, weights_backbone=None, num_classes=5).eval()


def _seen_data(net: Any) -> Any:
    """The net after a look at some pictures: fresh batch norms let its answers shrink to 1e-10, where all are equal."""
    import torch

    with torch.no_grad():
        for _ in range(3):
            for part in net.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.momentum = 1.0
            net.train()(torch.randn(8, 3, *_side(net)))
    return net.eval()


def _side(net: Any) -> tuple[int, int]:
    size = getattr(getattr(net, "patch_embed", None), "img_size", None)
    return tuple(size) if size else (64, 64)


def _picture(side: int = 64, batch: int = 2) -> Callable[[], Any]:
    def made() -> Any:
        import torch

        return torch.randn(batch, 3, side, side)

    return made


def _torch_pictures() -> list[Architecture]:
    task = "image classification"
    swin = {"img_size": 56, "depths": (2, 2), "num_heads": (2, 4), "embed_dim": 32}
    dense = {"growth_rate": 12, "block_config": (2, 2, 2, 2), "num_init_features": 24, "num_classes": 10}
    return [
        Architecture("timm", "ResNet-50", task, _timm("resnet50", layers=(1, 1, 1, 1)), _picture()),
        Architecture("timm", "EfficientNet-B0", task, _timm("efficientnet_b0"), _picture()),
        Architecture("timm", "ViT-Tiny", task, _timm("vit_tiny_patch16_224", depth=2, img_size=64), _picture()),
        Architecture("timm", "Swin-Tiny", task, _timm("swin_tiny_patch4_window7_224", **swin), _picture(56)),
        Architecture(
            "timm",
            "ConvNeXt-Tiny",
            task,
            _timm("convnext_tiny", depths=(1, 1, 2, 1), dims=(16, 32, 64, 128)),
            _picture(),
        ),
        Architecture(
            "torchvision", "MobileNetV3-Small", task, _torchvision("mobilenet_v3_small", num_classes=10), _picture()
        ),
        Architecture("torchvision", "DenseNet", task, _torchvision("DenseNet", **dense), _picture()),
        Architecture("torchvision", "RegNet-Y-400MF", task, _torchvision("regnet_y_400mf", num_classes=10), _picture()),
        Architecture(
            "torchvision",
            "Faster R-CNN",
            "detection",
            _detector,
            lambda: ([_picture(64, 1)()[0]],),
        ),
    ]


def _keras_application(name: str, side: int, **options: Any) -> Callable[[], Any]:
    def build() -> Any:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        import keras

        keras.utils.set_random_seed(0)
        net = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), **options)
        for layer in net.layers:  # as in _seen_data
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        net(np.random.default_rng(0).uniform(-1, 1, (8, side, side, 3)).astype(np.float32), training=True)
        return net

    return build


def _keras() -> list[Architecture]:
    rows = [
        ("MobileNet", 32, {"alpha": 0.25, "classes": 10}),
        ("MobileNetV2", 32, {"alpha": 0.35, "classes": 10}),
        ("VGG16", 32, {"include_top": False, "pooling": "avg"}),
        ("VGG19", 32, {"include_top": False, "pooling": "avg"}),
    ]
    return [
        Architecture("Keras", name, "image classification", _keras_application(name, side, **options))
        for name, side, options in rows
    ]


def _data() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def _fitted(estimator: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: estimator().fit(*_data())


def _sklearn() -> list[Architecture]:
    def logistic() -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression())

    def forest() -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(50, random_state=0)

    def boosting() -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(max_iter=10, random_state=0)

    def perceptron() -> Any:
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier((32,), random_state=0, max_iter=300)

    named = [
        ("StandardScaler + LogisticRegression", logistic),
        ("RandomForestClassifier", forest),
        ("HistGradientBoostingClassifier", boosting),
        ("MLPClassifier", perceptron),
    ]
    rows = lambda: _data()[0][:100]  # noqa: E731
    return [Architecture("scikit-learn", name, "classification", _fitted(make), rows) for name, make in named]


def _paddle() -> list[Architecture]:
    def build(name: str, **options: Any) -> Callable[[], Any]:
        def built() -> Any:
            import paddle

            paddle.seed(0)
            net = getattr(paddle.vision.models, name)(num_classes=10, **options)
            net(paddle.randn([8, 3, 64, 64]))  # as in _seen_data
            net.eval()
            return net

        return built

    def image() -> Any:
        return np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)

    task = "image classification"
    return [
        Architecture("Paddle", "ResNet-18", task, build("resnet18"), image),
        Architecture("Paddle", "MobileNetV3-Small", task, build("mobilenet_v3_small"), image),
    ]
