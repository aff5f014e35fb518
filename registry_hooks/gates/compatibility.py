"""Whether a version can take another's place: it accepts all that the other accepts, and its answers can be read the same way.

Both relations are reflexive and transitive, so that a chain of promotions cannot drift into what the first one would refuse.
A difference is one sentence; no sentence means that it can.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from registry_hooks.gates.signatures import Anything, Columns, Field, Form, Many, Object, Param, Scalar, Tensor, Tensors, Type

Output = TypeVar("Output", Field, Tensor)

_FLOAT_BITS: Final = 64
_NUMBERS: Final = frozenset({"int", "uint", "float"})
_WHOLE: Final = frozenset({"int", "uint"})


def accepts_all(live: Form, candidate: Form) -> list[str]:
    """What `live` accepts and `candidate` would refuse. Unknown columns are refused, so a column less is a difference, too."""
    if candidate is None:
        return []
    if live is None:
        return ["the live version says nothing about its inputs, so callers may send what this version's signature refuses"]
    if isinstance(live, Tensors) and isinstance(candidate, Tensors):
        return _tensors_accept(live.items, candidate.items)
    if isinstance(live, Columns) and isinstance(candidate, Columns):
        return _fields_accept(live.items, candidate.items, "column")
    return [f"the live version takes {_form(live)}, this version {_form(candidate)}"]


def accepts_params(live: Sequence[Param], candidate: Sequence[Param]) -> list[str]:
    """Params that callers may send now and could not any more. New ones have defaults, so they are no difference."""
    have = {param.name: param for param in candidate}
    found = []
    for param in live:
        other = have.get(param.name)
        if other is None:
            found.append(f"the param {param.name} is gone")
        elif other.is_list != param.is_list or not _widens(param.type, other.type):
            found.append(f"the param {param.name} was {param.type} and is {other.type}")
    return found


def answers_alike(live: Form, candidate: Form) -> list[str]:
    """What readers of `live`'s answers would miss in `candidate`'s. More named outputs are no difference."""
    if live is None:
        return []
    if candidate is None:
        return ["the live version's signature declares its outputs and this version's does not: log it with a signature"]
    if isinstance(live, Tensors) and isinstance(candidate, Tensors):
        return _outputs_alike(live.items, candidate.items)
    if isinstance(live, Columns) and isinstance(candidate, Columns):
        return _outputs_alike(live.items, candidate.items)
    return [f"the live version answers {_form(live)}, this version {_form(candidate)}"]


def observed_alike(live: Sequence[Mapping[str, Any]], candidate: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same of answers that really came, as the examiner sums them up: name, datatype, shape.

    Signatures are written by people; this tells when one of them does not say what the model answers.
    """
    if any(output["datatype"] == "JSON" for output in (*live, *candidate)):
        return []
    have = {output["name"]: output for output in candidate}
    found = []
    for output in live:
        other = have.get(output["name"])
        name = output["name"] or "the one without a name"
        if other is None:
            came = ", ".join(str(one["name"] or "one without a name") for one in candidate)
            found.append(f"the live version answers {name}, this version answers {came}")
        elif len(other["shape"]) != len(output["shape"]):
            found.append(f"{name} had {len(output['shape'])} dimensions and has {len(other['shape'])}")
        elif (output["datatype"] == "BYTES") != (other["datatype"] == "BYTES"):
            found.append(f"{name} was {output['datatype']} and is {other['datatype']}")
    return found


# --- inputs ---


def _fields_accept(live: Sequence[Field], candidate: Sequence[Field], what: str) -> list[str]:
    if any(field.name is None for field in (*live, *candidate)):
        return _unnamed_accept(live, candidate)
    have = {field.name: field for field in candidate}
    found = []
    for field in live:
        other = have.pop(field.name, None)
        if other is None:
            found.append(f"the {what} {field.name} is gone, and requests that have it would be refused")
        elif not _widens(field.type, other.type):
            found.append(f"the {what} {field.name} was {field.type} and is {other.type}")
        elif other.required and not field.required:
            found.append(f"the {what} {field.name} was optional and is required")
    found.extend(f"the {what} {name} is new and required" for name, field in have.items() if field.required)
    return found


def _unnamed_accept(live: Sequence[Field], candidate: Sequence[Field]) -> list[str]:
    if [field.name for field in live] != [field.name for field in candidate]:
        return [f"the columns were {_names(live)} and are {_names(candidate)}"]
    return [
        f"column {place} was {old.type} and is {new.type}"
        for place, (old, new) in enumerate(zip(live, candidate, strict=True), 1)
        if not _widens(old.type, new.type) or (new.required and not old.required)
    ]


def _tensors_accept(live: Sequence[Tensor], candidate: Sequence[Tensor]) -> list[str]:
    have: dict[str | None, Tensor] = {tensor.name: tensor for tensor in candidate}
    if len(live) == len(candidate) == 1 and candidate[0].name is None:
        have = {live[0].name: candidate[0]}  # an unnamed tensor takes the only one there is, whatever its name
    found = []
    for tensor in live:
        other = have.pop(tensor.name, None)
        label = tensor.name or "without a name"
        if other is None:
            found.append(f"the tensor {label} is gone, and requests that have it would be refused")
        elif not _widens(tensor.type, other.type):
            found.append(f"the tensor {label} was {tensor.type} and is {other.type}")
        elif not _shape_within(tensor.shape, other.shape):
            found.append(f"the tensor {label} had the shape {list(tensor.shape)} and has {list(other.shape)}")
    found.extend(f"the tensor {name or 'without a name'} is new and required" for name in have)
    return found


def _widens(narrow: Type, wide: Type) -> bool:
    """Whether each value of `narrow` is one of `wide`."""
    if isinstance(wide, Anything):
        return True
    if isinstance(narrow, Scalar) and isinstance(wide, Scalar):
        return _scalar_widens(narrow, wide)
    if isinstance(narrow, Many) and isinstance(wide, Many):
        return narrow.form == wide.form and _widens(narrow.of, wide.of)
    if isinstance(narrow, Object) and isinstance(wide, Object):
        return not _fields_accept(narrow.fields, wide.fields, "property")
    return False


def _scalar_widens(narrow: Scalar, wide: Scalar) -> bool:
    """As numpy's safe casts: no value changes. Booleans and texts are no numbers."""
    if narrow.kind == wide.kind:
        return narrow.bits <= wide.bits
    if narrow.kind == "uint" and wide.kind == "int":
        return narrow.bits < wide.bits
    return narrow.kind in _WHOLE and wide.kind == "float" and wide.bits >= min(_FLOAT_BITS, 2 * narrow.bits)


def _shape_within(narrow: tuple[int, ...], wide: tuple[int, ...]) -> bool:
    return len(narrow) == len(wide) and all(size in {-1, own} for own, size in zip(narrow, wide, strict=True))


# --- outputs ---


def _outputs_alike(live: Sequence[Output], candidate: Sequence[Output]) -> list[str]:
    if any(output.name is None for output in (*live, *candidate)):
        if [output.name for output in live] != [output.name for output in candidate]:
            return [f"the outputs were {_names(live)} and are {_names(candidate)}"]
        pairs = list(zip(live, candidate, strict=True))
    else:
        have = {output.name: output for output in candidate}
        missing = [str(output.name) for output in live if output.name not in have]
        if missing:
            return [f"the output {name} is missing" for name in missing]
        pairs = [(output, have[output.name]) for output in live]
    return [sentence for old, new in pairs for sentence in _output(old, new)]


def _output(old: Output, new: Output) -> list[str]:
    name = old.name or "the output"
    if not _reads_as(old.type, new.type):
        return [f"{name} was {old.type} and is {new.type}"]
    if isinstance(old, Tensor) and isinstance(new, Tensor) and not _shape_within(new.shape, old.shape):
        return [f"{name} had the shape {list(old.shape)} and has {list(new.shape)}"]
    if isinstance(old, Field) and isinstance(new, Field) and old.required and not new.required:
        return [f"{name} was always there and need not be"]
    return []


def _reads_as(old: Type, new: Type) -> bool:
    """Whether a reader of `old` can read `new`: JSON writes numbers of all widths the same way, and 1 for 1.0."""
    if isinstance(old, Anything):
        return True
    if isinstance(old, Scalar) and isinstance(new, Scalar):
        if old.kind == "float":
            return new.kind in _NUMBERS
        return new.kind == old.kind or (new.kind in _WHOLE and old.kind in _WHOLE)
    if isinstance(old, Many) and isinstance(new, Many):
        return old.form == new.form and _reads_as(old.of, new.of)
    if isinstance(old, Object) and isinstance(new, Object):
        return not _outputs_alike(old.fields, new.fields)
    return False


# --- words ---


def _form(form: Columns | Tensors) -> str:
    return "tensors" if isinstance(form, Tensors) else "columns"


def _names(items: Sequence[Output]) -> str:
    if all(item.name is None for item in items):
        return f"{len(items)} without names"
    return ", ".join(item.name or "one without a name" for item in items)
