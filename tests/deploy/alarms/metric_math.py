"""CloudWatch's metric math, as far as the template uses it, over series with one value or none a period.

Source: Amazon CloudWatch User Guide, "Using math expressions with CloudWatch metrics". What it does not know it refuses
with `ValueError`: a function that it guessed at would prove nothing about an alarm.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence

Series = tuple[float | None, ...]
Value = float | Series

_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
# CloudWatch's spellings of the logical operators and Python's.
_SPELLINGS = ((r"&&|\bAND\b", " and "), (r"\|\||\bOR\b", " or "), (r"!(?!=)", " not "))


def evaluate(expression: str, series: Mapping[str, Series], *, fills_nothing: bool = False) -> Series:
    """The expression's series, by the ids of the series in it.

    Args:
        fills_nothing: whether FILL leaves a series empty that has no value at all. AWS does not document which it is,
            so an alarm must not depend on it.

    Raises:
        ValueError: the expression, or something in it, is not known here.
    """
    for pattern, spelling in _SPELLINGS:
        expression = re.sub(pattern, spelling, expression)
    periods = len(next(iter(series.values())))
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise ValueError(f"not a metric math expression: {expression}") from error
    return _spread(_Evaluation(series, periods, fills_nothing=fills_nothing).of(tree.body), periods)


class _Evaluation:
    def __init__(self, series: Mapping[str, Series], periods: int, *, fills_nothing: bool) -> None:
        self._series = series
        self._periods = periods
        self._fills_nothing = fills_nothing
        self._functions: dict[str, Callable[[Sequence[ast.expr]], Value]] = {
            "IF": self._if,
            "FILL": self._fill,
            "MAX": lambda arguments: self._across(max, arguments),
            "MIN": lambda arguments: self._across(min, arguments),
            "SUM": lambda arguments: self._across(sum, arguments),
            "DIFF": self._diff,
        }

    def of(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=bool()):
                pass
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self._series:
                return self._series[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._each(operator.neg, operand)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self._each(lambda value: float(not value), operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._each(_ARITHMETIC[type(op)], left, right)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                compare = _COMPARISONS[type(op)]
                return self._each(lambda a, b: float(compare(a, b)), left, right)
            case ast.BoolOp(op=op, values=values):
                word = all if isinstance(op, ast.And) else any
                return self._each(lambda *each: float(word(each)), *values)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in self._functions:
                return self._functions[name](arguments)
        raise ValueError(f"not known here: {ast.unparse(node)}")

    def _each(self, function: Callable[..., float], *operands: ast.expr) -> Value:
        """Period by period: a value that is missing, or a division by zero, leaves the result missing."""
        values = [self.of(operand) for operand in operands]
        if all(isinstance(value, float) for value in values):
            return function(*values)
        return tuple(
            _of_one_period(function, one) for one in zip(*(_spread(v, self._periods) for v in values), strict=True)
        )

    def _if(self, arguments: Sequence[ast.expr]) -> Value:
        condition, then, otherwise = (_spread(self.of(argument), self._periods) for argument in arguments)
        return tuple(
            None if is_so is None else (yes if is_so else no)
            for is_so, yes, no in zip(condition, then, otherwise, strict=True)
        )

    def _fill(self, arguments: Sequence[ast.expr]) -> Value:
        series, filler = (_spread(self.of(argument), self._periods) for argument in arguments)
        if self._fills_nothing and all(value is None for value in series):
            return series
        return tuple(fill if value is None else value for value, fill in zip(series, filler, strict=True))

    def _across(self, function: Callable[[list[float]], float], arguments: Sequence[ast.expr]) -> Value:
        """Of an array of series: period by period, over those that have a value."""
        (argument,) = arguments
        if not isinstance(argument, ast.List):
            raise ValueError(f"only known of an array: {ast.unparse(argument)}")
        columns = zip(*(_spread(self.of(element), self._periods) for element in argument.elts), strict=True)
        present = ([value for value in column if value is not None] for column in columns)
        return tuple(function(values) if values else None for values in present)

    def _diff(self, arguments: Sequence[ast.expr]) -> Value:
        """From the value before it, however long ago that was."""
        before: float | None = None
        differences: list[float | None] = []
        for value in _spread(self.of(arguments[0]), self._periods):
            differences.append(None if value is None or before is None else value - before)
            before = before if value is None else value
        return tuple(differences)


def _of_one_period(function: Callable[..., float], values: tuple[float | None, ...]) -> float | None:
    if None in values:
        return None
    try:
        return function(*values)
    except ZeroDivisionError:
        return None


def _spread(value: Value, periods: int) -> Series:
    return (value,) * periods if isinstance(value, float) else value
