"""Architectures of timm and transformers with random weights and tiny configurations; nothing is downloaded.

They come with the extra `[zoo]`; without it `missing()` says so, and what wants them is skipped.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from typing import Any

import torch
from torch import Tensor, nn

from tests.corpus.cases import NARROW, WIDE, Healthy

os.environ.setdefault("HF_HUB_OFFLINE", "1")

_HOLDER = "_corpus_operators"
"""A module in sys.modules: this file may be imported more than once, and an operator goes with its library."""


def missing() -> str:
    """Why there is no zoo here; empty when there is one."""
    absent = [name for name in ("timm", "transformers") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: pip install -c .ci/constraints.txt '.[zoo]'" if absent else ""


def prepare() -> None:
    """Let torchvision's wheel, built for CUDA, be imported under a torch of the CPU: these two operators have no other
    definition there, and no model of ours calls them."""
    if _HOLDER in sys.modules or torch.cuda.is_available() or importlib.util.find_spec("torchvision") is None:
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    sys.modules[_HOLDER] = holder = types.ModuleType(_HOLDER)
    holder.library = library  # type: ignore[attr-defined]


class Plainly(nn.Module):
    """A transformers model that takes its inputs by name, and answers as it does by default: with its cache."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> Any:
        return self.model(**inputs)


def timm_model(name: str, **kwargs: Any) -> nn.Module:
    prepare()
    import timm

    return timm.create_model(name, pretrained=False, num_classes=10, **kwargs)


TINY = {
    "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37,
    "max_position_embeddings": 64,
}  # fmt: skip
CAUSAL = {**TINY, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GPT = {
    "vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
T5 = {
    "vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
}  # fmt: skip
IMAGES = {**TINY, "image_size": 16, "patch_size": 4, "num_channels": 3}

CONFIGS: dict[str, dict[str, Any]] = {
    "BertModel": TINY,
    "RobertaModel": {**TINY, "max_position_embeddings": 70},
    "DistilBertModel": {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 37},
    "ElectraModel": {**TINY, "embedding_size": 16},
    "GPT2LMHeadModel": GPT,
    "GPTNeoXForCausalLM": {**TINY, "rotary_pct": 0.5},
    "LlamaForCausalLM": CAUSAL,
    "MistralForCausalLM": {**CAUSAL, "sliding_window": 4},
    "Qwen2ForCausalLM": CAUSAL,
    "Gemma2ForCausalLM": {**CAUSAL, "query_pre_attn_scalar": 8, "sliding_window": 4},
    "MixtralForCausalLM": {**CAUSAL, "intermediate_size": 64, "num_local_experts": 4, "num_experts_per_tok": 2},
    "T5Model": T5,
    "ViTModel": IMAGES,
}


def transformer(name: str) -> nn.Module:
    """A model of transformers from its configuration alone, with the attention that it takes by default."""
    prepare()
    import transformers

    kind = getattr(transformers, name)
    config = kind.config_class(**CONFIGS[name])
    return Plainly(kind(config))


def timm_case(name: str, size: int = 32, dtypes: tuple[str, ...] = WIDE, **kwargs: Any) -> Healthy:
    inputs = (f"x=float32[batch:2..4,3,{size},{size}]",)
    return Healthy("timm_model", inputs, "zoo.py", {"name": name, **kwargs}, dtypes)


def _hub(name: str, *inputs: str, dtypes: tuple[str, ...] = NARROW[:2]) -> Healthy:
    return Healthy("transformer", inputs or (IDS,), "zoo.py", {"name": name}, dtypes)


IDS = "input_ids=int64[batch:2..8,7]{3..98}"
MASK = "attention_mask=int64[batch:2..8,7]{1..1}"

ZOO = (
    timm_case("resnet10t"),
    timm_case("mobilenetv3_small_050"),
    timm_case("efficientnet_b0"),
    timm_case("regnetx_002"),
    timm_case("densenet121"),
    timm_case("convnext_atto", dtypes=NARROW[:2]),
    timm_case("ghostnet_050"),
    timm_case("vit_tiny_patch16_224", dtypes=NARROW[:2], img_size=32),
    timm_case("mixer_s32_224", img_size=32, dtypes=WIDE),
    timm_case("levit_128s", size=224, dtypes=("float32",)),
    _hub("BertModel", IDS, MASK),
    _hub("RobertaModel"),
    _hub("DistilBertModel"),
    _hub("ElectraModel"),
    _hub("GPT2LMHeadModel"),
    _hub("GPTNeoXForCausalLM"),
    _hub("LlamaForCausalLM"),
    _hub("MistralForCausalLM"),
    _hub("Qwen2ForCausalLM"),
    _hub("Gemma2ForCausalLM"),
    _hub("MixtralForCausalLM"),
    _hub("T5Model", IDS, "decoder_input_ids=int64[batch:2..8,5]{3..98}"),
    _hub("ViTModel", "pixel_values=float32[batch:2..8,3,16,16]"),
)
