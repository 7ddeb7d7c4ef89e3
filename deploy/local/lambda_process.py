"""The inside of a Lambda runtime: one event a line on standard input, one answer a line on standard output.

`python -m deploy.local.lambda_process MODULE.FUNCTION CODE_DIRECTORY`. The end of standard input ends the process.
"""

import json
import sys
from importlib import import_module
from typing import Any

import structlog

log = structlog.get_logger()


def main() -> None:
    """Serve events until there are no more."""
    handler_name, code = sys.argv[1:]
    sys.path.insert(0, code)
    module, function = handler_name.rsplit(".", 1)
    handler = getattr(import_module(module), function)
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a function prints is log, and must not be taken for its answer
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"result": handler(json.loads(line), None)}
        except Exception as error:  # the boundary of the function, as in Lambda itself
            log.exception("function_failed")
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
