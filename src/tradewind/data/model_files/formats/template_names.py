"""What a chat template may use, by its exact names, and the names of Python's internals."""

from __future__ import annotations

import re

FUNCTIONS = {
    "range", "namespace", "dict", "raise_exception", "strftime_now", "caller", "zip", "enumerate", "len",
    "str", "int", "float", "bool", "list", "joiner", "cycler",
}  # fmt: skip
METHODS = {
    "append", "capitalize", "casefold", "center", "copy", "count", "cycle", "endswith", "expandtabs",
    "extend",
    "find", "get", "index", "isalnum", "isalpha", "isdecimal", "isdigit", "islower", "isnumeric", "isspace",
    "istitle", "isupper", "items", "join", "keys", "ljust", "lower", "lstrip", "partition", "pop",
    "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip",
    "split", "splitlines", "startswith", "strip", "swapcase", "title", "update", "upper", "values", "insert",
    "changed", "strftime", "zfill",
}  # fmt: skip
FILTERS = {
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
    "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min",
    "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort",
    "string", "striptags", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode",
    "wordcount", "from_json", "fromjson", "from_json_string", "strftime",
}  # fmt: skip
TESTS = {
    "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "escaped", "even", "false", "float",
    "ge",
    "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne",
    "none",
    "None", "number", "odd", "sameas", "sequence", "string", "true", "undefined", "upper", "True", "False",
    "==", "!=", ">", "<", ">=", "<=",
}  # fmt: skip
TAKE_ATTRIBUTE = {
    "map",
    "selectattr",
    "rejectattr",
    "groupby",
    "sort",
    "sum",
    "unique",
    "join",
    "min",
    "max",
}
BUILDS_TEXT = {"join", "replace", "format", "reverse", "string", "lower", "upper", "title", "capitalize",
                "trim", "truncate", "indent", "center", "striptags", "urlencode", "map", "sum", "tojson",
                "escape", "e", "safe"}  # fmt: skip
KEEPS_NUMBER = {"int", "length", "count", "abs", "round", "float"}
INTERNAL = re.compile(
    r"_|(?:gi|cr|ag|f|tb|co|func|im)_(?:frame|code|globals|locals|builtins|back|closure|lasti|self|func|class"
    r""
    "|await|running|next|dict|defaults|consts|names|yieldfrom)$|mro$|subclasses$|environment$|eval_ctx$|exported"
    r"_vars$|format$|format_map$|formatter$|vformat$|get_field$|get_value$|globals$|builtins$"
)
STATEMENTS = {
    "if", "elif", "else", "endif", "for", "endfor", "set", "endset", "macro", "endmacro", "call", "endcall",
    "filter", "endfilter", "with", "endwith", "generation", "endgeneration", "break", "continue", "do",
    "block", "endblock", "autoescape", "endautoescape",
}  # fmt: skip
OTHER_FILES = {"include", "import", "from", "extends"}
WORDS = {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None",
          "recursive", "ignore", "missing", "without", "context", "scoped", "required"}  # fmt: skip
