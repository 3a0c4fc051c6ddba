"""The Python side of `harness.session`: functions that a campaign's tasks call, for as long as the slot lives.

    from harness.session import serve

    serve({"add": lambda a, b: a + b})

In a task: `session:call { "add", 1, 2 }`. Each question is a line of JSON, {"call": name, "args": [...], "seq": number}, and so
is each answer: {"value": ...}, or {"error": {"type", "message", "traceback"}} when the function raised, which does not end the
process; and the same "seq". Standard output belongs to the answers: what functions print, C libraries too, goes to standard error.

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
    ours = os.getpid()
    for line in questions:
        answer = _answer(functions, line, ours)
        flush()
        answers.write(answer + b"\n")
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


def _answer(functions, line, ours):
    question = {}
    try:
        question = json.loads(line)
        function = _find(functions, question["call"])
        value = function(*(question.get("args") or []))
        end_unless_in(ours)
        # What is no text in UTF-8 is an error, as what is no number: JSON has no form for it.
        return _line({"value": value}, question)
    except Exception as error:
        end_unless_in(ours, error)
        name, message, told = described(error)
        return _line({"error": {"type": name, "message": message, "traceback": told}}, question)


def _line(answer, question):
    seq = question.get("seq") if isinstance(question, dict) else None
    return json.dumps({**answer, "seq": seq}, allow_nan=False, ensure_ascii=False).encode()


def described(error, frames=None):
    """The name of its class, what it says, and where it was raised: text that can be sent, whatever its methods do."""
    try:
        message = str(error)
    except BaseException as other:
        message = "(its __str__ raised %s)" % type(other).__name__
    told = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
    return type(error).__name__, sendable(message), sendable(told)


def sendable(text):
    """UTF-8 has no surrogates: names of files that are none have some."""
    return text.encode("utf-8", "backslashreplace").decode()


def flush():
    """What was printed so far is seen before the answer. A function may have closed or replaced the streams."""
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except Exception:
            pass  # whoever printed was told, or will be


def end_unless_in(ours, error=None):
    """A function may fork and come back in the child, too: only the process `ours` answers, and the other ends here, as a
    script would."""
    if os.getpid() == ours:
        return
    code = 0
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        code = error.code or 0
    elif error is not None:
        code = 1
        try:
            traceback.print_exception(type(error), error, error.__traceback__)
        except Exception:
            pass  # there is nobody to tell
    flush()
    os._exit(code & 0xFF)


def _find(functions, name):
    if isinstance(functions, dict):
        names = sorted(functions)
    else:
        names = [name for name in dir(functions) if not name.startswith("_") and callable(getattr(functions, name))]
    if name not in names:
        raise LookupError("there is no function %r; there are: %s" % (name, ", ".join(names)))
    return functions[name] if isinstance(functions, dict) else getattr(functions, name)
