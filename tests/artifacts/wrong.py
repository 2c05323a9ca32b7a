"""Artifacts that are wrong, each made by plain torch in a way that people get wrong, and what must be said of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.artifacts import models
from tests.artifacts.writers import Made, aoti, around, edited, export, onnx, script, state, trace, truncated


def stale(model: Any) -> None:
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)


def bias(model: Any) -> None:
    model.fc2.bias.add_(1e-3)


def inner_bias(model: Any) -> None:
    model.fc1.bias.add_(1e-3)


def one_element(model: Any) -> None:
    model.fc1.weight[3, 2] += 0.25


def zeroed(model: Any) -> None:
    model.fc2.bias.zero_()


def transposed(model: Any) -> None:
    model.mix.copy_(model.mix.t().clone())


def statistics(model: Any) -> None:
    model.norm.running_mean.add_(0.3)
    model.norm.running_var.mul_(1.7)


def swapped_layers(model: Any) -> None:
    model.query.load_state_dict({name: value.clone() for name, value in model.key.state_dict().items()})


def rounded(model: Any) -> None:
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16().float())


def in_bfloat16(model: Any) -> nn.Module:
    return around(lambda x: x.bfloat16(), lambda y: y.float())(copy.deepcopy(model).bfloat16())


def gridded(model: Any) -> None:
    for layer in (model.fc1, model.fc2):
        step = layer.weight.abs().max() / 127
        layer.weight.copy_((layer.weight / step).round() * step)


def fresh(model: Any) -> Any:
    torch.manual_seed(99)
    return type(model)().eval()


def train(model: Any) -> Any:
    return copy.deepcopy(model).train()


def half_trained(model: Any) -> Any:
    copied = copy.deepcopy(model)
    copied.drop.train()
    return copied


class Exchanged(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, query: Tensor, key: Tensor) -> Any:
        return self.model(key, query)


class QueryOnly(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("baked", torch.randn(1, 8))

    def forward(self, query: Tensor) -> Any:
        return self.model(query, self.baked.expand(query.shape[0], 8))


class KeyBaked(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("baked", torch.randn(1, 8))

    def forward(self, query: Tensor, key: Tensor) -> Any:
        return self.model(query, self.baked.expand(key.shape[0], 8))


class ThreeInputs(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, query: Tensor, key: Tensor, mask: Tensor) -> Any:
        return self.model(query, key) * mask


def heads(keys: tuple[str, ...]) -> Any:
    return around(after=lambda y: {name: y[key] for name, key in zip(("left", "right"), keys, strict=False)})


def quantised_write(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
    """Dynamic int8, which nothing in the file's name says."""
    smaller = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)
    trace(lambda _: smaller)(model, args, path)


def of(other: str) -> Any:
    """Another class of the same module."""

    def change(_: Any) -> Any:
        torch.manual_seed(3)
        return getattr(models, other)().eval()

    return change


def double(model: Any) -> Any:
    return copy.deepcopy(model).double()


def double_trace(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
    trace(double)(model, tuple(one.double() for one in args), path)


def channels_last(model: Any, args: tuple[Tensor, ...], path: Path) -> None:
    """Its caller is to give height, width, channels."""
    turned = around(before=lambda x: x.permute(0, 3, 1, 2))
    trace(turned)(model, tuple(one.permute(0, 2, 3, 1).contiguous() for one in args), path)


def bgr(x: Tensor) -> Tensor:
    return x.flip(1)


def normalise(x: Tensor) -> Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    return (x - mean) / std


def only_first(y: Tensor) -> Tensor:
    return y[:1].expand_as(y).clone()


WRONG: tuple[Made, ...] = (
    # weights
    Made(
        "stale weights, traced",
        "Classifier",
        trace(edited(stale)),
        ".pt",
        ("weights_match: stale or other weights", "values: not made from these weights"),
    ),
    Made(
        "stale weights, exported",
        "Image",
        export(edited(stale)),
        ".pt2",
        ("weights_match: stale or other weights", "values: not made from these weights"),
    ),
    Made("stale weights, scripted", "Residual", script(edited(stale)), ".pt", ("weights_match: stale or other",)),
    Made(
        "a bias off by 1e-3, traced",
        "Classifier",
        trace(edited(bias)),
        ".pt",
        ("weights_match: fc2.bias: every element is off by +0.001",),
    ),
    Made(
        "a bias off by 1e-3, exported",
        "Classifier",
        export(edited(bias)),
        ".pt2",
        ("weights_match: fc2.bias: every element is off by +0.001",),
    ),
    Made(
        "a bias off by 1e-3, state_dict",
        "Classifier",
        state(lambda held: {**held, "fc2.bias": held["fc2.bias"] + 1e-3}),
        ".pth",
        ("weights_match: every element is off by +0.001",),
    ),
    Made(
        "one element of a weight",
        "Classifier",
        trace(edited(one_element)),
        ".pt",
        ("weights_match: one element of 128, [3, 2], is off by +0.25",),
    ),
    Made(
        "a bias that was zeroed", "Classifier", export(edited(zeroed)), ".pt2", ("weights_match: fc2.bias: all zeros",)
    ),
    Made("a transposed parameter", "Square", trace(edited(transposed)), ".pt", ("weights_match: mix: transposed",)),
    Made(
        "batch statistics of another epoch",
        "Classifier",
        export(edited(statistics)),
        ".pt2",
        ("weights_match: only running statistics of batch norm differ",),
    ),
    Made(
        "one layer's weights in another",
        "Both",
        trace(edited(swapped_layers)),
        ".pt",
        ("weights_match: the values of key.",),
    ),
    Made(
        "weights rounded to bfloat16",
        "Classifier",
        export(edited(rounded)),
        ".pt2",
        ("weights_match: rounded to bfloat16",),
    ),
    Made(
        "cast to bfloat16, inputs too",
        "Classifier",
        export(in_bfloat16),
        ".pt2",
        ("weights_match: the checkpoint's weights cast to bfloat16", "values: its weights were rounded"),
    ),
    Made(
        "weights on an int8 grid",
        "Classifier",
        trace(edited(gridded)),
        ".pt",
        ("weights_match: quantised to a grid of integers",),
    ),
    Made("a fresh initialisation", "Tokens", trace(fresh), ".pt", ("weights_match: stale or other weights",)),
    Made(
        "weights of another shape, state_dict",
        "Classifier",
        state(lambda held: {**held, "fc2.bias": torch.zeros(6)}),
        ".pth",
        ("load: fc2.bias is float32[6]",),
    ),
    Made(
        "a state_dict without a key",
        "Classifier",
        state(lambda held: {name: held[name] for name in held if name != "fc1.bias"}),
        ".pth",
        ("load: fc1.bias is missing",),
    ),
    Made(
        "a state_dict with NaN",
        "Classifier",
        state(lambda held: {**held, "fc1.bias": held["fc1.bias"] * float("nan")}),
        ".pth",
        ("weights_match: are NaN", "nonfinite: "),
    ),
    # train mode
    Made(
        "train mode, traced",
        "Classifier",
        trace(train),
        ".pt",
        ("train_ops: drop: dropout p=0.5", "values: train mode"),
    ),
    Made("train mode, exported", "Classifier", export(train), ".pt2", ("train_ops: dropout", "repeat: ")),
    Made("train mode, scripted", "Classifier", script(train), ".pt", ("train_ops: drop: dropout p=0.5",)),
    Made("dropout inside attention, exported", "Attention", export(train), ".pt2", ("train_ops: dropout",)),
    Made(
        "one dropout left in train mode", "Classifier", trace(half_trained), ".pt", ("train_ops: drop: dropout p=0.5",)
    ),
    # answers
    Made(
        "swapped outputs, traced",
        "Heads",
        trace(heads(("right", "left"))),
        ".pt",
        ("values: left holds eager's right, right holds eager's left",),
    ),
    Made(
        "swapped outputs, exported",
        "Heads",
        export(heads(("right", "left"))),
        ".pt2",
        ("values: left holds eager's right",),
    ),
    Made(
        "an output left out", "Heads", trace(heads(("left",))), ".pt", ("structure: output['right']|right is left out",)
    ),
    Made(
        "classes in another order",
        "Classifier",
        export(around(after=lambda y: y[:, [1, 0, 2, 4, 3]])),
        ".pt2",
        ("values: another order along dimension -1: 0 holds 1, 1 holds 0",),
    ),
    Made(
        "classes reversed",
        "Classifier",
        trace(around(after=lambda y: y.flip(-1))),
        ".pt",
        ("values: in reverse along dimension -1",),
    ),
    Made(
        "a softmax too many",
        "Classifier",
        trace(around(after=lambda y: torch.softmax(y, -1))),
        ".pt",
        ("values: softmax of eager's values",),
    ),
    Made(
        "a log_softmax too many",
        "Classifier",
        export(around(after=lambda y: torch.log_softmax(y, -1))),
        ".pt2",
        ("values: log_softmax of eager's values",),
    ),
    Made("the softmax missing", "Probabilities", trace(of("Classifier")), ".pt", ("weights_match: ",)),
    Made(
        "the softmax missing, right weights",
        "Probabilities",
        trace(lambda model: _logits(model)),
        ".pt",
        ("values: the softmax is missing",),
    ),
    Made(
        "a sigmoid too many", "Classifier", export(around(after=torch.sigmoid)), ".pt2", ("values: sigmoid of eager's",)
    ),
    Made(
        "argmax in place of logits",
        "Classifier",
        trace(around(after=lambda y: y.argmax(-1))),
        ".pt",
        ("structure: argmax of eager's values",),
    ),
    Made(
        "a temperature",
        "Classifier",
        trace(around(after=lambda y: y / 2)),
        ".pt",
        ("values: 0.5 times eager's values",),
    ),
    Made("negated", "Classifier", export(around(after=lambda y: -y)), ".pt2", ("values: negated",)),
    Made(
        "a transposed answer",
        "Square",
        trace(around(after=lambda y: y.transpose(1, 2))),
        ".pt",
        ("values: dimensions permuted to (0, 2, 1)",),
    ),
    Made(
        "an answer of float64",
        "Classifier",
        trace(around(after=lambda y: y.double())),
        ".pt",
        ("structure: given as float64 in place of float32",),
    ),
    Made(
        "an answer of float16",
        "Classifier",
        export(around(after=lambda y: y.half())),
        ".pt2",
        ("structure: given as float16 in place of float32",),
    ),
    Made(
        "an answer with a dimension more",
        "Classifier",
        export(around(after=lambda y: y.unsqueeze(1))),
        ".pt2",
        ("structure: shape",),
    ),
    Made("an answer in a list", "Classifier", trace(around(after=lambda y: (y, y))), ".pt", ("structure: ",)),
    Made(
        "a clamp too many",
        "Classifier",
        trace(around(after=lambda y: y.clamp(0, 1))),
        ".pt",
        ("values: clamp to 0..1",),
    ),
    Made("NaN where none belongs", "Classifier", trace(around(after=lambda y: y.sqrt())), ".pt", ("nonfinite: ",)),
    # inputs
    Made("channels swapped", "Image", trace(around(before=bgr)), ".pt", ("values: its channels of image in reverse",)),
    Made("channels swapped, exported", "Image", export(around(before=bgr)), ".pt2", ("values: its channels of image",)),
    Made("normalises inside", "Image", trace(around(before=normalise)), ".pt", ("values: normalises image itself",)),
    Made(
        "divides by 255 inside", "Image", export(around(before=lambda x: x / 255)), ".pt2", ("values: image times 255",)
    ),
    Made("channels last", "Image", channels_last, ".pt", ("structure: channels last (NHWC)",)),
    Made(
        "inputs in each other's place",
        "Both",
        trace(Exchanged),
        ".pt",
        ("values: query and key in each other's place",),
    ),
    Made(
        "an input fewer",
        "Both",
        lambda model, args, path: trace(QueryOnly)(model, args[:1], path),
        ".pt",
        ("structure: fewer inputs than forward",),
    ),
    Made(
        "an input more",
        "Both",
        lambda model, args, path: trace(ThreeInputs)(model, (*args, torch.ones(4, 1)), path),
        ".pt",
        ("structure: more inputs than forward",),
    ),
    Made("an input baked in", "Both", trace(KeyBaked), ".pt", ("values: does not depend on key",)),
    Made("double inside", "Classifier", double_trace, ".pt", ("structure: wants x as float64",)),
    # sizes, branches
    Made("batch fixed at 1", "Classifier", trace(around(after=only_first)), ".pt", ("values: first row",)),
    Made("a branch that was baked", "Signed", trace(), ".pt", ("values: ",)),
    Made("quantised without a word", "Classifier", quantised_write, ".pt", ("values: quantised",)),
    Made("another model", "Classifier", trace(of("Unrelated")), ".pt", ("values: another model",)),
    # onnx
    Made("a bias off by 1e-3, onnx", "Classifier", onnx(edited(bias)), ".onnx", ("values: ",)),
    Made(
        "swapped outputs, onnx", "Heads", onnx(heads(("right", "left"))), ".onnx", ("values: left holds eager's right",)
    ),
    Made(
        "a softmax too many, onnx",
        "Classifier",
        onnx(around(after=lambda y: torch.softmax(y, -1))),
        ".onnx",
        ("values: softmax of eager's values",),
    ),
    Made(
        "channels swapped, onnx",
        "Image",
        onnx(around(before=bgr)),
        ".onnx",
        ("values: its channels of image in reverse",),
    ),
    Made(
        "an input fewer, onnx",
        "Both",
        lambda model, args, path: onnx(QueryOnly)(model, args[:1], path),
        ".onnx",
        ("values: it takes fewer inputs than forward: query in place of query, key",),
    ),
    Made("an onnx cut off", "Classifier", truncated(onnx(), 0.7), ".onnx", ("load: truncated or damaged",)),
    # native code, whose graph cannot be read and whose parameters can
    Made(
        "stale weights, aoti",
        "Classifier",
        aoti(edited(stale)),
        ".pt2",
        ("weights_match: stale or other weights", "values: not made from these weights"),
    ),
    Made(
        "a bias off by 1e-3, aoti",
        "Classifier",
        aoti(edited(inner_bias)),
        ".pt2",
        ("weights_match: fc1.bias: every element is off by +0.001", "values: "),
    ),
    Made(
        "a bias among the code, aoti",
        "Classifier",
        aoti(edited(bias)),
        ".pt2",
        ("values: output is eager's values and +0.00",),
    ),
    Made(
        "swapped outputs, aoti", "Heads", aoti(heads(("right", "left"))), ".pt2", ("values: left holds eager's right",)
    ),
    Made("train mode, aoti", "Classifier", aoti(train), ".pt2", ("repeat: two calls with the same inputs part",)),
    Made("a package cut off, aoti", "Classifier", truncated(aoti(), 0.9), ".pt2", ("load: truncated",)),
    # files
    Made("a trace cut off", "Classifier", truncated(trace(), 0.6), ".pt", ("load: truncated",)),
    Made("a .pt2 cut off", "Classifier", truncated(export(), 0.9), ".pt2", ("load: truncated",)),
    Made("a state_dict cut off", "Classifier", truncated(state(), 0.5), ".pth", ("load: ",)),
    Made("a text", "Classifier", lambda model, args, path: path.write_text("hello"), ".pt2", ("load: ",)),
)


def _logits(model: Any) -> Any:
    """The same weights without the softmax."""
    plain = models.Classifier()
    plain.load_state_dict(model.state_dict())
    return plain.eval()
