"""A small, safe language for formulas such as ``exp(t*u) - u**2``.

A text is parsed with :mod:`ast`, checked against a whitelist and turned into a flat program
of arithmetic steps; nothing of the text is ever executed. The program can be run in five
arithmetics: plain values, dual numbers (derivatives), *differences* from an anchor, Taylor series
at the anchor, and enclosures on discs of the complex plane. Differences and series keep
f(anchor + step) - f(anchor) accurate for steps far below the spacing of float64 numbers around
the anchor; enclosures find kinks and prove that nothing hides between samples.
"""

from __future__ import annotations

import keyword
import math
import numbers
import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infalign_theory.errors import InputError
from infalign_theory.formulas.breaks import find_breaks, locate
from infalign_theory.formulas.changes import CHANGES, SPACING, Near, near_number, near_variable
from infalign_theory.formulas.enclosure import Model, models
from infalign_theory.formulas.plain import DIRECT, Program, run, scalar
from infalign_theory.formulas.reader import ARITY, CONSTANTS, MAX_LENGTH, Reader, shown
from infalign_theory.formulas.series import refined
from infalign_theory.formulas.slopes import SLOPES, Dual
from infalign_theory.typing import Array, Values


def _check_name(name: str, role: str) -> None:
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    if not plain or "__" in name:
        raise InputError(
            f"{shown(name)} cannot be the name of {role}; "
            f"allowed are ASCII letters, digits and single underscores, as in t or rate_2"
        )
    if name in CONSTANTS or name in ARITY:
        kind = "constant" if name in CONSTANTS else "function"
        raise InputError(f"{name} is a {kind} and cannot be the name of {role}; rename {role}")


def _check_parameter(name: str, number: object, variable: str) -> float:
    _check_name(name, "a parameter")
    if name == variable:
        raise InputError(f"{name} is the variable and cannot be a parameter; rename the parameter")
    if isinstance(number, bool | np.bool_) or not isinstance(number, numbers.Real):
        raise InputError(f"the parameter {name} is {number!r:.60}; it must be a real number")
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(f"the parameter {name} is {value}; it must be finite")
    return value


@dataclass(frozen=True)
class Change:
    """f(anchor) and f(anchor + step) - f(anchor), with bounds on their rounding errors.

    Where the formula has no finite value at the anchor (``singular``), the change is the value.
    """

    anchor: float
    change: Array
    error: Array
    anchor_error: float
    singular: bool


_SWITCHES = frozenset({"max", "step"})
_DIGITS_LOST = 1e6  # units in the last place


@dataclass(frozen=True)
class CompiledExpression:
    """A checked formula in one variable, ready to be evaluated.

    Made by :func:`compile_expression`, or from the same three fields; immutable, hashable and
    picklable. Two objects are equal when text, variable and parameters are.

    Attributes
    ----------
    text : str
        The formula, with white space at the ends removed.
    variable : str
        Name of the variable.
    parameters : tuple of (str, float)
        Names and values of the parameters, sorted by name.

    Notes
    -----
    The methods accept arrays of any shape and return float64 arrays of that shape. They never
    raise and never warn: outside a formula's domain they return NaN or an infinity.
    """

    text: str
    variable: str = "u"
    parameters: tuple[tuple[str, float], ...] = ()
    _program: Program = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise InputError(f"an expression is a text such as 'exp(3*u)', not {self.text!r:.60}")
        if len(self.text) > MAX_LENGTH:
            raise InputError(
                f"the expression has {len(self.text)} characters, {MAX_LENGTH} are allowed; "
                f"shorten it, for instance with parameters"
            )
        if not isinstance(self.variable, str):
            raise InputError(f"the variable is a name such as 'u', got {self.variable!r:.60}")
        _check_name(self.variable, "the variable")
        values = {n: _check_parameter(n, v, self.variable) for n, v in sorted(self.parameters)}
        text = re.sub(r"[\t\r\n]", " ", self.text).strip()
        program = Reader(text, self.variable, values).read()
        for name, content in (("text", text), ("parameters", tuple(values.items()))):
            object.__setattr__(self, name, content)
        object.__setattr__(self, "_program", program)

    def _nodes(self, anchor: float, step: Array, x: Array) -> list[Near]:
        return run(self._program, near_number, near_variable(anchor, step, x), CHANGES)

    def value(self, x: npt.ArrayLike) -> Array:
        """Plain evaluation f(x), in float64 and in the order the text says.

        Examples
        --------
        >>> compile_expression("u**2 + t", t=1).value([0.0, 2.0])
        array([1., 5.])
        """
        points = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            variable: Values = points
            return _shaped(run(self._program, scalar, variable, DIRECT)[-1], points.shape)

    def near(self, anchor: float, step: npt.ArrayLike) -> tuple[float, Array]:
        """f(anchor) and the change f(anchor + step) - f(anchor), the change kept accurate.

        The change has a small *relative* error, however small the step: a few units in the
        last place, more where the formula itself magnifies rounding (``exp(200*u)`` does so by
        200). Terms that cancel to some order, as in ``exp(u) - u`` at 0, are no trouble
        if their Taylor coefficients cancel exactly in float64.

        Parameters
        ----------
        anchor : float
            The point to measure from.
        step : array_like
            Signed distances from it, any shape.

        Returns
        -------
        tuple of (float, ndarray)
            Two numbers whose sum is f(anchor + step). If the formula, or any part of it, has
            no finite value at the anchor, they are 0.0 and f(anchor + step), as in :meth:`at`.

        Examples
        --------
        >>> compile_expression("exp(3*u)").near(0.0, [1e-300])
        (1.0, array([3.e-300]))
        >>> compile_expression("log(1 - u)").near(1.0, [-1e-300])
        (0.0, array([-690.7755279]))
        """
        steps = np.asarray(step, dtype=np.float64)
        flat, start = steps.ravel(), float(anchor)
        found = self.measure(start, flat, start + flat)
        if found.singular and start in (0.0, 1.0):
            value = self.at(start + flat, -flat if start else 1.0 - flat)
            return 0.0, value.reshape(steps.shape)
        return found.anchor, found.change.reshape(steps.shape)

    def measure(self, anchor: float, step: Array, x: Array) -> Change:
        """The change from an anchor with a bound on its rounding error.

        Parameters
        ----------
        anchor : float
            The point to measure from.
        step : ndarray, one-dimensional
            Signed distances from it.
        x : ndarray, one-dimensional
            The points themselves, accurate where they are small.
        """
        with np.errstate(all="ignore"):
            nodes = self._nodes(anchor, step, x)
            node = nodes[-1]
            if math.isnan(node.anchor):
                value = _shaped(node.value, step.shape)
                value_error = _shaped(SPACING * node.value_error, step.shape)
                return Change(0.0, value, value_error, 0.0, singular=True)
            reach = self._reach(anchor, nodes, step)
            change, error = refined(self._program, anchor, step, node, reach)
        return Change(
            float(node.anchor) + 0.0,
            _shaped(change, step.shape),
            _shaped(SPACING * error, step.shape),
            float(SPACING * node.anchor_error),
            singular=False,
        )

    def _reach(self, anchor: float, nodes: list[Near], step: Array) -> float:
        """How far a series at an anchor in [0, 1] may speak: to the next kink, jump or singularity.

        Not at all where a part has lost its digits at the anchor itself.
        """
        node = nodes[-1]
        if not np.any(node.change_error > 16.0 * np.abs(node.change)):
            return math.inf  # the series will not be asked
        if any(part.anchor_error > _DIGITS_LOST * (np.abs(part.anchor) + 1e-300) for part in nodes):
            return 0.0
        if not any(op in _SWITCHES for op, _, _ in self._program) or not 0.0 <= anchor <= 1.0:
            return math.inf
        s = np.array(self.breaks)
        small = np.exp(-np.abs(s)) / (1.0 + np.exp(-np.abs(s)))
        below = np.where(s < 0.0, small, 1.0 - small)
        distance = np.where(s < 0.0, 1.0 - small, small) if anchor == 1.0 else abs(below - anchor)
        return float(np.min(distance, initial=math.inf))

    @property
    def breaks(self) -> tuple[float, ...]:
        """Logits of the points of (0, 1) where the formula has a kink, jump or singularity.

        Only those within 45 of 0: beyond lies 3e-20 of the unit interval. Where a part of the
        formula that may have one only touches zero, the point counts too.

        Raises
        ------
        PrecisionError
            Where there are too many to be told apart.

        Examples
        --------
        >>> f = compile_expression("max(u, 0.25) + step(u - 0.5)")
        >>> [round(s, 12) + 0.0 for s in f.breaks]  # logits of 1/4 and 1/2
        [-1.098612288668, 0.0]
        """
        return find_breaks(self._program)

    def slope(self, x: Array, complement: Array) -> Array:
        """f'(x) where both x and ``complement`` = 1 - x are known accurately.

        At a kink it is one of the two one-sided derivatives.
        """
        points, rests = np.ravel(x), np.ravel(complement)
        out = np.empty(points.size)
        for upper in (False, True):
            held = (rests < 0.5) == upper
            if not held.any():
                continue
            step = -rests[held] if upper else points[held]
            unit = Model(np.ones(step.size), np.zeros(step.size))
            with np.errstate(all="ignore"):
                variable = near_variable(float(upper), step, points[held])
                nodes = run(self._program, near_number, variable, CHANGES)
                out[held] = models(self._program, nodes, unit)[-1].slope
        return out.reshape(np.shape(x))

    def variation(self, middle: Array, half: Array) -> Array:
        """How far the formula can go from its value at the middles of panels of the logit.

        Proven bounds, infinite where none was found, of shape (panels, 2): on the disc in the
        complex plane that decides how fast a panel's Legendre coefficients die away, and on the
        panel itself. They hold for panels without breaks inside.
        """
        bounds = np.empty((middle.size, 2))
        for held, part in locate(self._program, middle, half):
            model = part.models[-1]
            with np.errstate(all="ignore"):
                bounds[held, 0], bounds[held, 1] = model.radius, model.within(part.share)
        return bounds

    def at(self, x: npt.ArrayLike, complement: npt.ArrayLike) -> Array:
        """f(x) where both x and ``complement`` = 1 - x are known accurately.

        Every ``1 - u`` in the formula then keeps its relative accuracy, however close u is
        to 1.

        Examples
        --------
        >>> compile_expression("log(1 - u)").at([1.0], [1e-300])
        array([-690.7755279])
        """
        points, rests = np.broadcast_arrays(
            np.asarray(x, dtype=np.float64), np.asarray(complement, dtype=np.float64)
        )
        result = np.empty(points.shape)
        upper = rests < 0.5
        with np.errstate(all="ignore"):
            for half, anchor, step in ((upper, 1.0, -rests), (~upper, 0.0, points)):
                if np.any(half):
                    result[half] = self._nodes(anchor, step[half], points[half])[-1].value
        return result

    def derivative(self, x: npt.ArrayLike) -> Array:
        """f'(x) by dual numbers: exact differentiation, no step size.

        At a kink (``abs``, ``min``, ``max``, ``clip``) it is the mean of the two one-sided
        derivatives, at a jump (``step``) an infinity with the sign of the jump.

        Examples
        --------
        >>> compile_expression("u**3 + abs(u)").derivative([-1.0, 0.0, 2.0])
        array([ 2.,  0., 13.])
        """
        points = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            variable = Dual(points, np.float64(1.0))
            result = run(self._program, _dual_number, variable, SLOPES)[-1].slope
            return _shaped(result, points.shape)


def _dual_number(number: float) -> Dual:
    return Dual(np.float64(number), np.float64(0.0))


def _shaped(result: Values, shape: tuple[int, ...]) -> Array:
    """A fresh array: a constant formula has lost the shape, the formula u shares its input."""
    return np.array(np.broadcast_to(result, shape), dtype=np.float64)


def compile_expression(
    text: str, variable: str = "u", /, **parameters: float
) -> CompiledExpression:
    """Read a formula; nothing of it is ever executed.

    Parameters
    ----------
    text : str
        At most 1000 ASCII characters and 50 levels of nesting: decimal numbers, the variable,
        parameters, the constants ``pi`` and ``e``, ``+ - * / **``, parentheses and the functions
        ``exp expm1 log log1p sqrt sin cos tanh sigmoid logit abs min max``, ``clip(x, low, high)``
        and ``step(x)`` (1 where x > 0, 1/2 at 0, else 0).
    variable : str, default "u"
        The name of the variable.
    **parameters : float
        A finite value for every other name in the text.

    Returns
    -------
    CompiledExpression
        Evaluates the formula, its derivative, and its change from an anchor.

    Raises
    ------
    InputError
        If the text is not a formula of this language, or if the parameters in the text and
        those given differ.

    Examples
    --------
    >>> f = compile_expression("exp(t*u) - u**2", t=5)
    >>> f.value([0.0, 0.5])
    array([ 1.        , 11.93249396])
    >>> compile_expression("p**4", "p").derivative(0.5)
    array(0.5)
    """
    return CompiledExpression(text, variable, tuple(parameters.items()))
