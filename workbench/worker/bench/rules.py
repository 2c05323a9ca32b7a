"""The table of known errors of dtypes, devices, shapes, values, calls and gradients.

Owns their words; those of masks and indices, and of Python itself, have tables of their own. Each rule stands alone: to
explain one more error, add one more entry. Texts are those of torch 2.10 to 2.13, with older wordings where people
still meet them.
"""

from __future__ import annotations

import inspect
import re

from torch import nn

from workbench.worker.bench.diagnosis import Scene
from workbench.worker.bench.failing import CUT_SHORT, users_place
from workbench.worker.bench.keys import keyed, keys_of
from workbench.worker.bench.rule import Rule, Values
from workbench.worker.bench.rules_masks import MASKS
from workbench.worker.bench.rules_python import PYTHON


def _last_size(scene: Scene, values: Values) -> str:
    tensor = scene.tensor
    option = "" if tensor is None or not tensor.dim() else scene.spec((*tensor.shape[:-1], int(values["want"])))
    return f"Give it {option}" if option else f"Check what comes before it: its last size must be {values['want']}."


def _channels(scene: Scene, values: Values) -> str:
    tensor = scene.tensor
    wide = tensor is not None and tensor.dim() > 1
    shape = () if tensor is None or not wide else (tensor.shape[0], int(values["want"]), *tensor.shape[2:])
    option = scene.spec(shape) if wide else ""
    if option:
        return f"Give it {option}; images of [height,width,channels] need permute(0, 3, 1, 2)."
    return f"Check what comes before it: it must have {values['want']} channels at dimension 1."


def _own_channels(scene: Scene, values: Values) -> str:
    if not isinstance(scene.module, nn.GroupNorm):
        return "Check what comes before it."
    wants = scene.module.num_channels
    return f"It has {wants} channels. {_channels(scene, {'want': str(wants)})}"


def _same_dtype(scene: Scene, values: Values) -> str:
    has, wants = values["t_given"], values["t_weight"]
    if not wants.startswith(("float", "bfloat")):
        has, wants = wants, has
    option = scene.spec(dtype=wants)
    cast = f"cast it where it is made, with .to(torch.{wants})"
    model = f", or cast the model with --dtype {has}" if has.startswith(("float", "bfloat")) else ""
    if option:
        return f"Give it {option}{model}; samples of a file keep their values when they are saved as {wants}."
    return f"{cast[0].upper()}{cast[1:]}{model}."


def _parameters_dtype(scene: Scene, values: Values) -> str:
    has = "" if scene.tensor is None else str(scene.tensor.dtype)[6:]
    return _same_dtype(scene, {"t_given": has, "t_weight": scene.holds or "float32"})


def _floating(scene: Scene, values: Values) -> str:
    option = scene.spec(dtype=scene.holds or "float32")
    return f"Give it {option}" if option else "Make it .float() first; --dtype casts no whole numbers."


def _index_range(scene: Scene, values: Values) -> str:
    rows = scene.module.num_embeddings if isinstance(scene.module, nn.Embedding) else 0
    if not rows:
        return "Keep the indices below the size of what they index."
    option = scene.spec(values=f"{{0..{rows - 1}}}")
    allowed = f"Its {rows} rows are numbered 0 to {rows - 1}."
    return f"{allowed} Give it {option}" if option else allowed


def _long_indices(scene: Scene, values: Values) -> str:
    rows = scene.module.num_embeddings if isinstance(scene.module, nn.Embedding) else 0
    option = scene.spec(dtype="int64", values=f"{{0..{rows - 1}}}" if rows else "")
    return f"Give it {option}" if option else "Make the indices int64 where they are made."


def _arguments(scene: Scene, values: Values) -> str:
    if scene.path:
        return _call(scene, "pass what its forward takes, or give those arguments defaults")
    wanted = re.findall(r"'(\w+)'", values.get("names", ""))
    if wanted:
        return "Give them: " + " ".join(f"--input '{name}=float32[4,…]'" for name in wanted)
    return "Give one --input for each argument that forward takes."


def _call(scene: Scene, what: str) -> str:
    """What to do where the model's own source calls one of its modules."""
    place = users_place(scene.problem)
    return f"At {place}, where it is called: {what}." if place else f"Where it is called: {what}."


def _named_otherwise(scene: Scene, values: Values) -> str:
    """The names that forward does take; a module below the root is called by the model's own source."""
    called = scene.module if scene.module is not None else scene.model
    if called is None or scene.path:
        return _call(scene, "leave that argument out")
    takes = list(inspect.signature(called.forward).parameters)
    return f"It takes {', '.join(takes)}: --input '{takes[0]}=…'" if takes else "Leave that input out."


def _keys(scene: Scene, values: Values) -> str:
    """The arguments of the model that are dicts, by the keys that its forward asks for."""
    if scene.model is None or scene.path:
        return "Look at the line: it has too few dimensions there, or is no dict."
    options = [option for name, keys in keys_of(scene.model).items() for option in keyed(name, keys)]
    return f"Give a dict: {' '.join(options)}" if options else "Give the input its batch dimension."


def _batch_of_two(scene: Scene, values: Values) -> str:
    tensor = scene.tensor
    option = scene.spec((2, *tensor.shape[1:])) if tensor is not None and tensor.dim() else ""
    return "Put it in eval" + (f", or give it {option}" if option else ", or use a batch of 2 or more.")


_DT = r"(?:torch\.)?(?P<{}>[\w: ]+?)(?:Tensor)?"
_GIVEN, _WEIGHT = _DT.format("t_given"), _DT.format("t_weight")
_DTYPE_WORDS = "{at} computes in {t_weight} and was given {t_given}."

_KNOWN: tuple[Rule, ...] = (
    # memory and devices
    Rule("memory", r"tried to allocate (?P<bytes>[\d.]+ ?\w+)",
         "there was not enough memory: {at} asked for {bytes} more.",
         "Use a smaller batch, a smaller dtype, or no_grad."),
    Rule("memory", r"^(MemoryError|OutOfMemoryError)",
         "there was not enough memory for {at}.", "Use a smaller batch, a smaller dtype, or no_grad."),
    Rule("device", r"not compiled with CUDA|no NVIDIA driver|No CUDA GPUs|CUDA driver version is insufficient",
         "{at} asks for CUDA, and there is none here.",
         "Use --device cpu, and take fixed .cuda() calls out of the source."),
    Rule("device", r"invalid device ordinal", "{at} asks for a CUDA device that is not there.", "Use --device cuda:0."),
    Rule("device", r"Input type \((?P<a>[\w.]*Tensor)\) and weight type \((?P<b>[\w.]*Tensor)\) should be the same",
         "{at} has its weights as {b} and was given {a}: they are on different devices.",
         "Make tensors where the input is: torch.zeros(…, device=x.device)."),
    Rule("device", r"on the same device|is not on the expected device|on device (?P<a>\S+) is not",
         "{at} mixes tensors of different devices.",
         "Make tensors where the input is: torch.zeros(…, device=x.device); register constants as buffers."),
    # dtypes
    Rule("forward", rf"must have the same dtype, but got {_GIVEN} and {_WEIGHT}$", _DTYPE_WORDS, _same_dtype),
    Rule("forward", rf"expected scalar type {_WEIGHT} but found {_GIVEN}$", _DTYPE_WORDS, _same_dtype),
    Rule("forward", rf"Input type \({_GIVEN}\) and (?:bias|weight) type \({_WEIGHT}\)", _DTYPE_WORDS, _same_dtype),
    Rule("forward", r"mixed dtype \(CPU\)",
         "{at} has its parameters in {holds} and was given {given}.", _parameters_dtype),
    Rule("forward", rf"have (?:the )?same dtype, but (?:got|found):? {_GIVEN} (?:and|!=) {_WEIGHT}$", _DTYPE_WORDS,
         _same_dtype),
    Rule("forward", rf"'indices' to have one of the following scalar types.*got {_GIVEN} instead",
         "{at} looks rows up by whole numbers and was given {t_given}.", _long_indices),
    Rule("forward", rf"expected target dtype to be Long or Byte, but got {_GIVEN}",
         "{at} wants its class labels as int64 and was given {t_given}.", "Give the labels as int64."),
    Rule("forward", r"not implemented for '(?P<t_a>Long|Int|Short|Char|Byte|Bool)'|"
         r"Expected a floating point or complex tensor as input\. Got (?P<t_b>Long|Int|Short|Char|Byte|Bool)",
         "{at} uses an operator that wants floating numbers, and gives it {t_a}{t_b}.", _floating),
    Rule("forward", r"not implemented for '(?P<t_a>\w+)'|Low precision dtypes not supported. Got (?P<t_b>\w+)|"
         r"Unsupported dtype (?P<t_c>\w+)",
         "{at} uses an operator that this device has not got for {t_a}{t_b}{t_c}.",
         "Go back to the model's own dtype, or use --dtype float32."),
    # shapes
    Rule("forward", r"shapes cannot be multiplied \((?P<a>\w+) and (?P<want>\d+)x(?P<out>\d+)\)",
         "{at} wants a last size of {want} and was given {given} (mat1 {a}, mat2 {want}x{out}).", _last_size),
    Rule("forward", r"to have (?P<want>\d+) channels, but got (?P<got>\d+) channels",
         "{at} wants {want} channels and was given {got}: {given}.", _channels),
    Rule("forward", r"running_mean should contain (?P<got>\d+) elements not (?P<want>\d+)",
         "{at} normalises {want} channels and was given {got}: {given}.", _channels),
    Rule("forward", r"Expected number of channels in input to be divisible by num_groups|"
         r"Expected weight to be a vector of size equal to the number of channels",
         "{at} normalises groups of channels and was given other channels than its own: {given}.", _own_channels),
    Rule("forward", r"Expected (?P<dims>.+?) input to (?P<op>conv\w+), but got input of size",
         "{at} wants a {dims} input and was given {given}.", "Give the input its batch and channel dimensions."),
    Rule("forward", r"expected (?P<dims>\dD(?: or \dD)?) input \(got (?P<got>\dD) input\)",
         "{at} wants a {dims} input and was given {given}.", "Check the number of dimensions before it."),
    Rule("forward", r"Kernel size can't be greater than actual input|Output size (is too small|would be zero)",
         "{at} was given {given}, which is too small for its window.", "Give a larger input."),
    Rule("forward", r"Given normalized_shape=\[(?P<want>[\d, ]+)\], expected input",
         "{at} normalises [{want}] and was given {given}.", "Make the last sizes of its input [{want}]."),
    Rule("forward", r"equal to input_size. Expected (?P<want>\d+), got (?P<got>\d+)",
         "{at} wants {want} features a step and was given {got}: {given}.", _last_size),
    Rule("forward", r"expecting embedding dimension of (?P<want>\d+), but got (?P<got>\d+)",
         "{at} wants an embedding dimension of {want} and was given {got}.", _last_size),
    Rule("forward", r"Expected more than 1 value per channel when training",
         "{at} is training and cannot take statistics over one value: it was given {given}.", _batch_of_two),
    Rule("forward", r"shape '(?P<shape>\[.*?\])' is invalid for input of size (?P<size>\d+)",
         "{at} reshapes {size} elements to {shape}, which does not come out.",
         "The input's sizes do not lead to what the model reshapes to: check --input, or flatten by x.flatten(1)."),
    Rule("forward", r"view size is not compatible",
         "{at} takes a view of a tensor that is not contiguous.", "Use .reshape(…) in the source."),
    Rule("forward", r"tensor a \((?P<a>\d+)\) must match the size of tensor b \((?P<b>\d+)\).* dimension (?P<d>\d+)",
         "{at} combines sizes {a} and {b} at dimension {d}.", "Check the sizes of the inputs against each other."),
    Rule("forward", r"must match except in dimension (?P<d>\d+). Expected size (?P<a>\d+) .*size (?P<b>\d+)",
         "{at} joins tensors of sizes {a} and {b} beside dimension {d}.", "Check the sizes of the inputs."),
    Rule("forward", r"Expected size for first two dimensions of batch2|expanded size of the tensor \(.*must match",
         "{at} combines tensors whose sizes do not fit.", "Check the sizes of the inputs against each other."),
    # values
    Rule("forward", r"^IndexError: index out of range in self",
         "{at} was given an index outside its table.", _index_range),
    Rule("forward", r"index (?P<index>-?\d+) is out of bounds for dimension (?P<d>\d+) with size (?P<size>\d+)",
         "{at} takes index {index} of dimension {d}, which has {size}.", "Give a larger input."),
    # arguments
    Rule("forward", r"'?(\w+\.)*forward\(\) missing \d+ required \S+ arguments?: (?P<names>.*)",
         "{at} was not given {names}.", _arguments, calls=True),
    Rule("forward", r"forward\(\) got an unexpected keyword argument '(?P<name>\w+)'",
         "{at} has no argument {name!r}.", _named_otherwise, calls=True),
    Rule("forward", r"forward\(\) takes \d+ positional arguments? but \d+ \w+ given",
         "{at} was given more arguments than forward takes.", _arguments, calls=True),
    Rule("forward", r"forward\(\) got multiple values for argument '(?P<name>\w+)'",
         "{at} was given {name!r} twice, by its place and by its name.", _named_otherwise, calls=True),
    Rule("forward", r"new\(\): invalid data type 'str'",
         "{at} asks a tensor for a key, as of a dict.", _keys, calls=True),
    Rule("forward", r"too many indices for tensor of dimension (?P<d>\d+)",  # also what a longer text as a key raises
         "{at} takes more indices than its tensor's {d} dimensions, or a key, as of a dict.", _keys),
    Rule("forward", r"argument '(?P<name>\w+)' \(position \d+\) must be Tensor, not NoneType",
         "{at} was given None where a tensor belongs ({name}).",
         "Give that argument, or return something in every branch of the module before it.", calls=True),
    Rule("forward", r"argument '(?P<name>\w+)' \(position \d+\) must be Tensor, not tuple",
         "{at} was given a tuple where a tensor belongs ({name}): recurrent layers and attention answer with several.",
         "Take the first of it in the source: y, _ = …"),
    Rule("forward", r"argument '(?P<name>\w+)' \(position \d+\) must be (?P<want>\w+), not (?P<got>\w+)",
         "{at} was given a {got} where a {want} belongs ({name}).", "Pass tensors there."),
    Rule("forward", r'missing the required "forward" function',
         "{at} has no forward.", "Define forward(self, …), or name the module that has one."),
    # autograd
    Rule("forward", r"leaf Variable that requires grad is being used in an in-place|a view of a leaf Variable",
         "{at} changes a parameter in place while its gradient is recorded.",
         "Run it under no_grad, or use an operation that is not in place."),
    Rule("forward", r"Inference tensors cannot be saved for backward|Inplace update to inference tensor",
         "{at} uses a tensor that was made under inference_mode.",
         "Use --grad no_grad. Where the source says inference_mode, say no_grad there; where the model kept the tensor "
         "of an earlier run, restore it."),
    Rule("forward", r"does not require grad and does not have a grad_fn",
         "{at} takes a gradient inside forward, and none is recorded.", "Use --grad grad: this model needs it to run."),
    Rule("forward", r"needed for gradient computation has been modified by an inplace",
         "{at} changed a tensor in place that its own gradient needs.", "Use an operation that is not in place."),
    Rule("forward", r"Can't call numpy\(\) on Tensor that requires grad",
         "{at} calls numpy() on a tensor whose gradient is recorded.", "Use --grad no_grad, or .detach().numpy()."),
    Rule("forward", r"Boolean value of Tensor with more than one value|cannot be converted to Scalar",
         "{at} takes one truth or number from a tensor of several.", "Use .any(), .all() or an index in the source."),
    # what a worker has not got
    Rule("forward", r"^BdbQuit", "{at} stops in a debugger, and a worker has no terminal.",
         "Take set_trace() out of it."),
    Rule("forward", r"^EOFError: .*reading a line",
         "{at} reads from the keyboard, and a worker has none.", "Take input() out of it."),
    Rule("forward", "^EOFError|" + "|".join(CUT_SHORT),
         "{at} reads a file that ends too early.", "Get that file again, or write it anew."),
    Rule("forward", r"^SystemExit", "{at} asked Python to exit; the worker stays.", "Take sys.exit() out of it."),
    Rule("forward", r"^RecursionError", "{at} calls itself without end.",
         "Look for a forward that calls its own module."),
    Rule("forward", r"uninitialized parameter",
         "{at} has parameters whose shape the first run decides.", "Fire it once, or give the sizes in the source."),
)  # fmt: skip

RULES = (*_KNOWN, *MASKS, *PYTHON)
"""Tried from the top; the first that knows the error speaks."""
