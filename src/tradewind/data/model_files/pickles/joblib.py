"""Arrays between the opcodes, as joblib writes them: passed over by what their wrapper says, never read.

joblib puts the wrapper of an array where the array stood, and after the wrapper's BUILD come, since version
1.2, a byte with the padding's length and that many 0xff, and then the elements; an array of objects is a
pickle of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tradewind.data.model_files.pickles import rules
from tradewind.data.model_files.pickles.arrays import UnknownArray, element_of
from tradewind.data.model_files.pickles.reader import Reader
from tradewind.data.model_files.pickles.stream import Broken
from tradewind.data.model_files.pickles.stubs import Array, Made, Named

ARRAY_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_SUBCLASSES = {"numpy.ndarray", "numpy.memmap", "numpy.matrix", "numpy.matrixlib.defmatrix.matrix"}


def array_of(machine: Reader, wrapper: Made, inner: Callable[[Reader], Any]) -> Any:
    """The array that a wrapper stands for; the machine's stream is after its elements then.

    Broken where the wrapper is none that joblib writes, for then nobody knows where the pickle goes on.
    """
    state = wrapper.states[-1]
    if len(wrapper.states) != 1 or type(state) is not dict:
        raise Broken("an array's wrapper has no plain state")
    shape, order, subclass = state.get("shape"), state.get("order"), state.get("subclass")
    if type(shape) is not tuple:
        raise Broken("an array's shape is none")
    count = 1
    for each in shape:
        if type(each) is not int or each < 0:
            raise Broken("an array's shape is none")
        count *= each
    if order not in ("C", "F") or type(subclass) is not Named or subclass.name not in _SUBCLASSES:
        raise Broken("an array's wrapper holds what joblib never writes")
    try:
        element = element_of(state.get("dtype"))
    except UnknownArray as error:
        raise Broken(f"an array's type is unknown: {error}") from None
    stream = machine.stream
    if stream.in_frame:
        raise Broken("an array lies in a frame")
    stream.leave()
    if element.objects:
        return inner(machine)
    alignment = state.get("numpy_array_alignment_bytes")
    if alignment is not None:
        if type(alignment) is not int:
            raise Broken("an array's alignment is no number")
        length = stream.read(1)[0]
        if length > max(alignment, 0) or stream.read(length).strip(b"\xff"):
            machine.danger(
                rules.PADDING, f"{length} bytes before an array are no padding", "BUILD", ARRAY_WRAPPER
            )
    size = count * element.size
    offset = stream.skip(size)
    return Array(stream.source, element.text, shape, order, offset, size)
