"""The table of known errors of Python itself: None where a tensor belongs, imports, attributes, copies, quantisation.

Owns the words.
"""

from __future__ import annotations

from workbench.worker.bench.rule import Rule

_NONE = "Look at the line: an optional input that was left out, or a module that answers nothing in one branch."

PYTHON: tuple[Rule, ...] = (
    Rule("forward", r"'NoneType' object has no attribute '(?P<name>\w+)'",
         "{at} asks None for {name}: something was not given, or not set.", _NONE),
    Rule("forward", r"'NoneType' object is not (?P<what>callable|subscriptable|iterable)",
         "{at} uses None as if it were something {what}.", _NONE),
    Rule("forward", r"unsupported operand type\(s\) for \S+: .*NoneType|expected Tensor as element \d+ .*NoneType",
         "{at} computes with None.", _NONE),
    Rule("forward", r"'(?P<kind>\w+)' object has no attribute '(?P<name>\w+)'",
         "{at}: a {kind} has no {name}.",
         "Set it in __init__, or check what comes before: another version of a library may call it otherwise."),
    Rule("forward", r"ModuleNotFoundError: No module named '(?P<name>[\w.]+)'",
         "{at} imports {name}, and there is no such module where the worker runs.",
         "Install it there, or name an interpreter that has it: --python PATH"),
    Rule("forward", r"ImportError: attempted relative import",
         "{at} imports relative to its package, and it was opened as a lone file.",
         "Name it as package.module:Name, from the directory that holds the package."),
    Rule("forward", r"Only Tensors created explicitly by the user \(graph leaves\) support the deepcopy",
         "{at} keeps a tensor with its graph in an attribute, and such a model cannot be copied.",
         "Keep it detached: self.x = y.detach(); or use parametrizations.weight_norm in the place of weight_norm."),
    Rule("forward", r"cannot pickle '(?P<kind>[\w.]+)' object|Can't pickle local object '(?P<name>[^']+)'",
         "{at} holds something that cannot be copied: {kind}{name}.",
         "Keep locks, files, generators and lambdas out of the model's attributes, or write __deepcopy__."),
    Rule("forward", r"quantized engine (?P<name>\w+) is not supported",
         "{at} wants the quantised engine {name}, which this build of torch has not got.",
         "Choose one of torch.backends.quantized.supported_engines in the source."),
    Rule("forward", r"Could not run '(?P<op>[\w:.]+)' with arguments from the '(?P<backend>Quantized\w+)' backend|"
         r"promoteTypes with quantized numbers",
         "{at} gives a quantised tensor to an operator that takes none{op}.",
         "Put a DeQuantStub, or .dequantize(), before it."),
    Rule("forward", r"Could not run '(?P<op>[\w:.]+)' with arguments from the '(?P<backend>\w+)' backend",
         "{at} calls {op} with a {backend} tensor, and there is no such operator for it.",
         "Make the tensor a dense one of this device before it."),
    Rule("device", r"Cannot copy out of meta tensor|cannot be called on meta tensors",
         "{at} holds tensors that have a shape and no values (meta).",
         "Construct it without device='meta', or give weights that fill all of it: --weights FILE"),
    Rule("device", r"(?:not compiled with|not linked with support for) "
         r"(?P<name>XPU|MPS|HPU|MTIA|HIP|ROCm|Vulkan|XLA|IPU|MAIA|PrivateUse1)\b",
         "{at} asks for the device {name}, and this torch was built without it.",
         "Use --device cpu, and take fixed devices out of the source."),
    Rule("forward", r"not (?:compiled|built) with (?P<name>MKL-?DNN|MKL|LAPACK|MAGMA|NCCL|MPI|FFT|oneDNN|OpenMP)\b",
         "{at} needs the library {name}, and this torch was built without it.",
         "Name an interpreter whose torch has it: --python PATH"),
    Rule("device", r"Expected one of cpu, cuda.*device type at start of device string: (?P<name>\w+)",
         "{at} asks for a device that there is not: {name}.", "They are called cpu, cuda, cuda:1, mps …"),
    Rule("forward", r"could not infer output dtype. Input dtype must be either a floating point",
         "{at} takes a mean of whole numbers.", "Make it .float() first."),
    Rule("forward", r"result type (?P<t_a>\w+) can't be cast to the desired output type (?P<t_b>\w+)",
         "{at} writes {t_a} in place into a tensor of {t_b}.", "Use an operation that is not in place, or cast first."),
    Rule("forward", r"more than one element of the written-to tensor refers to a single memory location",
         "{at} writes in place into an expanded tensor, whose elements share memory.", "Clone it first: .clone()."),
    Rule("forward", r"Setting requires_grad=True on inference tensor",
         "{at} asks for the gradient of a tensor that was made under inference_mode.",
         "Use --grad no_grad in the place of inference_mode."),
    Rule("forward", r"Trying to backward through the graph a second time",
         "{at} goes backward through a graph that is gone: it went backward through it before, in this run or an "
         "earlier run.",
         "Call backward() once, or with retain_graph=True; detach what is kept between runs: self.state = y.detach()."),
    Rule("forward", r"unsupported memory format option|(?:Sparse|sparse)\w* (?:is|are) not supported",
         "{at} was given a sparse tensor, and takes dense ones.", "Make it dense before it: .to_dense()."),
    Rule("forward", r"ZeroDivisionError", "{at} divides by zero.", "Look at the line: a size or a count is 0."),
)  # fmt: skip
"""Tried after the other tables."""
