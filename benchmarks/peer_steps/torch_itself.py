"""PyTorch itself: the saved module through `torch.compile`, and in bfloat16 autocast."""

from _told import folders, told

source, _ = folders()
told(
    ("torch.compile", source / "net.pt", "torch_compiled", "exact"),
    ("torch autocast bfloat16", source / "net.pt", "torch_autocast", "exact"),
)
