"""The Python side of `harness.session`: functions that a campaign's tasks call, for as long as the slot lives.

    from harness.session import serve

    serve({"add": lambda a, b: a + b})

In a task: `session:call { "add", 1, 2 }`. Each question is a line of JSON, {"call": name, "args": [...]}, and so is each
answer: {"value": ...}, or {"error": {"type", "message", "traceback"}} when the function raised, which does not end the
process. Standard output belongs to the answers: what functions print, C libraries too, goes to standard error.

The standard library only; any Python 3. `harness.session` puts the folder of this module on PYTHONPATH.
"""

import json
import os
import sys
import traceback

# The less often the two sides of a pipe wait for each other, the better for what is large (B).
BUFFER = 1 << 18


def serve(functions):
    """Answers until there are no more questions. `functions` is a dict of functions by name, or an object whose public
    methods are meant."""
    questions, answers = take_streams()
    for line in questions:
        answers.write(_answer(functions, line) + b"\n")
        answers.flush()


def take_streams():
    """Keeps standard input and output for itself: others read nothing, and write to standard error."""
    questions, answers = os.fdopen(os.dup(0), "rb", BUFFER), os.fdopen(os.dup(1), "wb", BUFFER)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return questions, answers


def _answer(functions, line):
    try:
        question = json.loads(line)
        function = _find(functions, question["call"])
        value = function(*(question.get("args") or []))
        return json.dumps({"value": value}, allow_nan=False).encode()
    except Exception as error:
        told = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
        }
        return json.dumps({"error": told}).encode()
    finally:
        sys.stderr.flush()


def _find(functions, name):
    if isinstance(functions, dict):
        names = sorted(functions)
    else:
        names = [name for name in dir(functions) if not name.startswith("_") and callable(getattr(functions, name))]
    if name not in names:
        raise LookupError("there is no function %r; there are: %s" % (name, ", ".join(names)))
    return functions[name] if isinstance(functions, dict) else getattr(functions, name)
