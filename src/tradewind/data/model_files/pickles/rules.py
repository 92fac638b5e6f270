"""The rules that pickles are judged by."""

from __future__ import annotations

from tradewind.data.model_files.findings import Rule

_CONVERT = "Ask for the weights as safetensors, or load the file only where nothing is to be lost."
_MAKING = "tradewind audit model --make-list LIBRARY"

GLOBAL = Rule(
    "pickle-global", "blocked",
    "A name is looked up that no allow-list holds; its module would be imported, and the name handed to "
    "the file.",
    f"If its library is installed and trusted, make its list: {_MAKING}. Otherwise do not load the file.",
)  # fmt: skip
CALL = Rule(
    "pickle-call", "blocked",
    "Something is called that may not be: loading the file would run it with arguments that the file chose.",
    _CONVERT,
)  # fmt: skip
ARGUMENTS = Rule(
    "pickle-arguments", "blocked",
    "Something harmless is called with arguments that are not: it would call, import or allocate what "
    "they say.",
    _CONVERT,
)  # fmt: skip
BUILD = Rule(
    "pickle-build", "blocked",
    "State is put into something that may not receive it: a class, a module, or an object with code "
    "behind it.",
    _CONVERT,
)  # fmt: skip
ITEMS = Rule(
    "pickle-items", "blocked",
    "Items are put into an object whose methods for that are not known to be harmless.",
    _CONVERT,
)  # fmt: skip
ATTRIBUTE = Rule(
    "pickle-attribute", "blocked",
    "A dotted path is followed from a module: any attribute of anything it imports could be reached.",
    _CONVERT,
)  # fmt: skip
EXTENSION = Rule(
    "pickle-extension", "blocked",
    "A global is named by a number of the copyreg registry: what it means depends on the process that "
    "loads it.",
    _CONVERT,
)  # fmt: skip
PERSISTENT = Rule(
    "pickle-persistent-id", "blocked",
    "A persistent identifier is used that is none of a torch storage: the loader's own code would "
    "resolve it.",
    _CONVERT,
)  # fmt: skip
BUFFER = Rule(
    "pickle-buffer", "blocked",
    "Data from outside of the file is used: what it is cannot be judged.",
    "Write the object again without out-of-band buffers.",
)  # fmt: skip
BROKEN = Rule(
    "pickle-broken", "blocked",
    "The pickle cannot be read to its end; what stands before the fault is executed before any reader "
    "sees it.",
    "Fetch the file again; if it stays so, do not load it.",
)  # fmt: skip
TRAILING = Rule(
    "pickle-trailing", "blocked",
    "Bytes follow the end of the pickle that are none: another reader may see something else in the file.",
    "Fetch the file again; if it stays so, do not load it.",
)  # fmt: skip
MEMO = Rule(
    "pickle-memo", "blocked",
    "A memo slot is used that would make the loader allocate memory out of all proportion.",
    _CONVERT,
)  # fmt: skip
PADDING = Rule(
    "joblib-padding", "blocked",
    "The padding before an array is none that joblib writes: bytes are hidden there from its reader.",
    _CONVERT,
)  # fmt: skip
ARRAY = Rule(
    "pickle-array", "blocked",
    "An array's description contradicts itself: reading it could touch memory that is not its own.",
    _CONVERT,
)  # fmt: skip
HIDDEN = Rule(
    "joblib-hidden", "blocked",
    "Read without joblib, as a plain pickle, the bytes of an array are instructions.",
    _CONVERT,
)  # fmt: skip
STACKED = Rule(
    "pickle-stacked", "note",
    "Several pickles follow one another; most readers load the first only. All were inspected.",
)  # fmt: skip
NESTED = Rule(
    "pickle-nested", "note",
    "A string holds what looks like a pickle; loading this file does not load it.",
)  # fmt: skip
STORAGE = Rule(
    "torch-storage", "blocked",
    "A tensor's storage is not in the file as it is described: its type, its place or its length differ.",
    "Fetch the file again; if it stays so, do not load it.",
)  # fmt: skip
VIEW = Rule(
    "torch-view", "blocked",
    "A tensor reaches beyond its storage: loading it could read or write memory that is not its own.",
    _CONVERT,
)  # fmt: skip
CODE_UNREAD = Rule(
    "torchscript-unread", "undecided",
    "The file holds TorchScript code, and nothing here judges that.",
    "Save the weights alone, as safetensors.",
)  # fmt: skip
HEADER = Rule(
    "npy-header", "blocked",
    "The header of the array is none that numpy writes.",
    "Fetch the file again; if it stays so, do not load it.",
)  # fmt: skip
LENGTH = Rule(
    "npy-length", "blocked",
    "The array is longer or shorter than its header says.",
    "Fetch the file again; if it stays so, do not load it.",
)  # fmt: skip

PICKLES = (
    GLOBAL, CALL, ARGUMENTS, BUILD, ITEMS, ATTRIBUTE, EXTENSION, PERSISTENT, BUFFER, BROKEN, TRAILING, MEMO,
    PADDING,
    ARRAY, HIDDEN, STACKED, NESTED,
)  # fmt: skip
TORCH = (STORAGE, VIEW, CODE_UNREAD)
NPY = (HEADER, LENGTH)
