"""The table of known errors of attention masks, indices, sequences and what else goes in beside the data.

Owns the words.
"""

from __future__ import annotations

import re

import torch

from workbench.worker.bench.diagnosis import Scene
from workbench.worker.bench.failing import frames
from workbench.worker.bench.rule import Rule, Values
from workbench.worker.bench.words import shape_text


def _mask_shape(scene: Scene, values: Values) -> str:
    sizes = ",".join(re.findall(r"\d+", values["want"]))
    return f"Make the mask [{sizes}]: (queries, keys), one for all heads; True or -inf where nothing is to be seen."


def _as_bool(scene: Scene, values: Values) -> str:
    return "Make it boolean where it is made, with .bool(), or as an input: --input 'mask=bool[…]'."


def _labels(scene: Scene, values: Values) -> str:
    """Which labels there are, and the input that they come from if it is one."""
    for frame, _ in reversed(frames(scene.problem)):
        scores, labels = frame.f_locals.get("input"), frame.f_locals.get("target")
        if not isinstance(scores, torch.Tensor) or not isinstance(labels, torch.Tensor) or not scores.dim():
            continue
        classes = scores.shape[1 if scores.dim() > 1 else 0]
        allowed = f"There are {classes} classes, numbered 0 to {classes - 1}."
        if given := scene.input_of(labels):
            name, tensor = given
            sizes = shape_text(tensor.shape)
            return f"{allowed} Give it --input '{name}={str(tensor.dtype)[6:]}{sizes}{{0..{classes - 1}}}'"
        return f"{allowed} The labels are made inside forward: keep them in that range there."
    return "Keep the labels from 0 to the number of classes less one."


MASKS: tuple[Rule, ...] = (
    Rule("forward", r"Target (?P<index>-?\d+) is out of bounds",
         "{at} was given the class label {index}, and there is no such class.", _labels),
    Rule("forward", r"shape of the 2D attn_mask is torch.Size\(\[(?P<got>[\d, ]+)\]\), but should be (?P<want>.*?)\.$",
         "{at} wants an attention mask of {want} and was given [{got}].", _mask_shape),
    Rule("forward", r"shape of the 3D attn_mask is torch.Size\(\[(?P<got>[\d, ]+)\]\), but should be (?P<want>.*?)\.$",
         "{at} wants an attention mask of {want} and was given [{got}].",
         "A mask of three dimensions is (batch × heads, queries, keys)."),
    Rule("forward", r"key_padded_mask.shape\[(?P<d>\d)\] to be (?P<want>\d+), but got (?P<got>\d+)",
         "{at} wants a padding mask with {want} at dimension {d} and was given {got}.",
         "A key_padding_mask is [batch, keys]; without batch_first the data is [length, batch, width]."),
    Rule("forward", r"only bool and floating types of (?P<name>\w+) are supported",
         "{at} was given whole numbers as {name}.",
         "Make it boolean, True where a place is left out; tokenisers give 1 where it is seen: mask == 0."),
    Rule("forward", r"attn_mask dtype to be bool or float.*attn_mask.dtype: (?P<t_given>[\w ]+?) and +query.dtype: "
         r"(?P<t_weight>[\w ]+?) ",
         "{at} computes in {t_weight} and was given a mask of {t_given}.",
         "Make the mask boolean, or of the query's dtype."),
    Rule("forward", r"query, key, and value to have the same dtype, but got query.dtype: (?P<t_a>[\w ]+?) +key.dtype: "
         r"(?P<t_b>[\w ]+?) +and value.dtype: (?P<t_c>[\w ]+?) ",
         "{at} was given a query of {t_a}, keys of {t_b} and values of {t_c}.",
         "Cast them to one dtype in the source."),
    Rule("forward", r"masked_fill_? only supports boolean masks, but got mask with dtype (?P<t_given>\w+)",
         "{at} fills by a mask of {t_given}, and masks are boolean.", _as_bool),
    Rule("forward", r"where expected condition to be a boolean tensor, but got a tensor with dtype (?P<t_given>\w+)",
         "{at} chooses by a condition of {t_given}, and conditions are boolean.", _as_bool),
    Rule("forward", r"with a bool tensor is not supported",
         "{at} subtracts with a boolean mask.", "Invert it with ~mask, or make it .float() first."),
    Rule("forward", r"only implemented on integer and Boolean-type tensors",
         "{at} inverts a mask that is not boolean.", _as_bool),
    Rule("forward", r"tensors used as indices must be long",
         "{at} indexes with a tensor that is no whole number.", "Make the index int64 where it is made: .long()."),
    Rule("forward", r"one_hot is only applicable to index tensor",
         "{at} makes one-hot rows of what is no int64.", "Give it whole numbers: --input 'labels=int64[4]{{0..9}}'"),
    Rule("forward", r"Class values must be smaller than num_classes",
         "{at} was given a class number beyond num_classes.", "Give a range: --input 'labels=int64[4]{{0..9}}'"),
    Rule("forward", r"probability tensor contains either",
         "{at} draws from probabilities that are negative, NaN or infinite.",
         "Look where they come from: I on the module before it shows what went through."),
    Rule("forward", r"of distribution (?P<kind>\w+).*to satisfy the constraint (?P<want>[\w()=.,]+).*",
         "{at} makes a {kind} whose parameter breaks its constraint {want}.",
         "Keep the parameter inside it in the source, with softplus or clamp."),
    Rule("forward", r"Expected hidden\[(?P<n>\d)\] size \((?P<want>[\d, ]+)\), got \[(?P<got>[\d, ]+)\]",
         "{at} wants a state of [{want}] and was given [{got}].",
         "A state is [layers × directions, batch, width]; without batch_first the data is [length, batch, width]."),
    Rule("forward", r"Length of all samples has to be greater than 0",
         "{at} packs a sequence whose length is 0.", "Give lengths from 1: --input 'lengths=int64[4]{{1..16}}'"),
    Rule("forward", r"offsets has to be a 1D Tensor but got None",
         "{at} was given one row of indices without offsets.",
         "Give two dimensions, [bags, indices], or offsets beside them: --input 'offsets=int64[4]{{zeros}}'"),
    Rule("forward", r"input has to be (?P<dims>1D or 2D) Tensor, but got Tensor of dimension (?P<got>\d)",
         "{at} wants a {dims} input and was given {given}.", "Give [bags, indices]."),
    # shapes that come with them
    Rule("forward", r"size equal to the number of channels in input, but got weight of shape \[(?P<want>\d+)\]",
         "{at} normalises {want} channels and was given {given}.", "Check the channels before it, at dimension 1."),
    Rule("forward", r"size mismatch, got input \((?P<a>\d+)\), mat \((?P<b>\w+)\), vec \((?P<c>\d+)\)",
         "{at} multiplies a matrix of {b} by a vector of {c}.", "Check the sizes of the inputs against each other."),
    Rule("forward", r"inconsistent tensor size, expected tensor \[(?P<a>\d+)\] and src \[(?P<b>\d+)\]",
         "{at} multiplies vectors of {a} and {b}.", "Check the sizes of the inputs against each other."),
    Rule("forward", r"einsum\(\): subscript (?P<s>\w) has size (?P<a>\d+) for operand \d .*size (?P<b>\d+)",
         "{at} gives the subscript {s} of its einsum the sizes {b} and {a}.", "Check the sizes of what it combines."),
    Rule("forward", r"Dimension out of range \(expected to be in range of \[(?P<low>-?\d+), (?P<high>-?\d+)\], "
         r"but got (?P<got>-?\d+)",
         "{at} asks for dimension {got} of a tensor that has {low} to {high}.",
         "Give the input its batch dimension, or check how many dimensions the source counts on."),
    Rule("forward", r"the length of the desired ordering of dimensions.*input.dim\(\) = (?P<a>\d+).*= (?P<b>\d+)",
         "{at} reorders {b} dimensions of a tensor that has {a}.", "Give the input its batch dimension."),
    Rule("forward", r"(not enough|too many) values to unpack \(expected (?P<a>\d+)",
         "{at} takes a shape or an answer apart into {a}, and it has another number of parts.",
         "Check the number of dimensions of the input, and what the module before it answers."),
    Rule("forward", r"stack expects each tensor to be equal size, but got \[(?P<a>[\d, ]*)\] .* and \[(?P<b>[\d, ]*)\]",
         "{at} stacks tensors of [{a}] and [{b}].",
         "Make them alike, or use torch.cat along the dimension that differs."),
    Rule("forward", r"Tensors must have same number of dimensions: got (?P<a>\d+) and (?P<b>\d+)",
         "{at} joins tensors of {a} and {b} dimensions.", "Check the dimensions of the inputs."),
    Rule("forward", r"output with shape \[(?P<a>[\d, ]*)\] doesn't match the broadcast shape \[(?P<b>[\d, ]*)\]",
         "{at} writes [{b}] in place into a tensor of [{a}].", "Use an operation that is not in place: x = x + y."),
    Rule("forward", r"(don't multiply up to|divisible by the square|expects split_sizes to sum)",
         "{at} cuts {given} into sizes that do not come out.", "Check the sizes of the input."),
    Rule("forward", r"Only 3D, 4D and 5D input Tensors supported|Padding size \d+ is not supported for (?P<d>\dD)",
         "{at} was given {given}, which has too few dimensions for it.",
         "Give the input its batch and channel dimensions."),
    Rule("forward", r"expected (?P<a>\w+) and (?P<b>\w+) to have same batch size",
         "{at} was given a {a} and a {b} of other batches.", "Give both the same number of rows."),
)  # fmt: skip
"""Tried after the table of `rules.py`."""
