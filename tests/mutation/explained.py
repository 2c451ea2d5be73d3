"""Mutants that no test can or need kill, and why."""
# ruff: noqa: E501

from __future__ import annotations

_WHY: dict[str, tuple[str, ...]] = {
    "the atoms kept hold all mass: what comes after them lies where nothing is left": (
        "kernels.climbing.climb #4: `mass[i] = p[i] / total if i < kept else 0.0` -> `mass[i] = p[i] / total if i <= kept else 0.0`",
    ),
    "the walk may start anywhere near the mode: the law is divided by its sum": (
        "kernels.ustatistics._kept #22: `mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k + 2.0)), low), high)` -> `mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k - 2.0)), low), high)`",
        "kernels.ustatistics._kept #25: `mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k + 2.0)), low), high)` -> `mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k + 0.0)), low), high)`",
    ),
    "a weight of zero adds zero: the line only saves work": (
        "kernels.ustatistics.thinned_weights #12: `if weights[c] > 0.0:` -> `if weights[c] >= 0.0:`",
    ),
    "where both are equal either order is exact": (
        "kernels.sums.cumulative_sums #17: `carry += total - step + mass[i] if total >= mass[i] else mass[i] - step + total` -> `carry += total - step + mass[i] if total > mass[i] else mass[i] - step + total`",
    ),
    "differs only where |a| is NEAR itself, where both forms hold": (
        "kernels.sums.divergence #6: `elif abs(a) < NEAR:` -> `elif abs(a) <= NEAR:`",
    ),
    "b is whole where it equals its floor, and where it equals its ceiling": (
        "kernels.terms.single_power #19: `whole = a == np.floor(a) and b == np.floor(b)` -> `whole = a == np.floor(a) and b == np.ceil(b)`",
    ),
    "a power of 64 is right by either way; the line only saves work": (
        "kernels.terms.single_power #21: `return bool(whole and a <= 64.0 and (b <= 64.0) and (terms[0, 3] == 0.0) and (terms[0, 4] == 1.0))` -> `return bool(whole and a < 64.0 and (b <= 64.0) and (terms[0, 3] == 0.0) and (terms[0, 4] == 1.0))`",
    ),
    "all entries are looked at, the last one first": (
        "kernels.sorting.any_missing #2: `missing = missing or np.isnan(values[i])` -> `missing = missing or np.isnan(values[i - 1])`",
    ),
    "one entry more is allocated, and cut off at the end": (
        "kernels.segments.leave_out #51: `ends = np.zeros(copies + 1, dtype=np.intp)` -> `ends = np.zeros(copies + 2, dtype=np.intp)`",
    ),
    "differs only where two numbers are equal, and there both sides give the same": (
        "kernels.descent._unit #16: `return (near, far) if s < 0.0 else (far, near)` -> `return (near, far) if s <= 0.0 else (far, near)`",
        "kernels.terms.evaluate #26: `exponent += terms[t, 1] * (np.log1p(-q) if q < 0.5 else np.log(p))` -> `exponent += terms[t, 1] * (np.log1p(-q) if q <= 0.5 else np.log(p))`",
        "kernels.races.subset_winners #47: `quiet = np.exp(-rate) if x[i] + y < LATEST else 0.0` -> `quiet = np.exp(-rate) if x[i] + y <= LATEST else 0.0`",
        "kernels.mutual.descend_mutual #16: `top, rest = (large, small) if x > 0.0 else (small, large)` -> `top, rest = (large, small) if x >= 0.0 else (small, large)`",
        "kernels.shooting.descend #16: `top, rest = (large, small) if x > 0.0 else (small, large)` -> `top, rest = (large, small) if x >= 0.0 else (small, large)`",
        "kernels.shooting._bracketed_root #36: `if abs(value) <= best_value:` -> `if abs(value) < best_value:`",
        "kernels.shooting._touching_point #32: `if f1 < f2:` -> `if f1 <= f2:`",
        "kernels.shooting.best_root #11: `if won - kl / k > best:` -> `if won - kl / k >= best:`",
        "kernels.descent.rough_mass #129: `if worst <= 1.0 or step <= NARROWEST * max(1.0, abs(s)):` -> `if worst <= 1.0 or step < NARROWEST * max(1.0, abs(s)):`",
        "kernels.descent._settle #83: `if change == 0.0 or (change <= 1e-14 and change >= previous / 2.0):` -> `if change == 0.0 or (change < 1e-14 and change >= previous / 2.0):`",
        "kernels.descent.march #79: `settled = settled and half * _tail(state[3], analysis) <= 1e-15 + 1e-14 * gained` -> `settled = settled and half * _tail(state[3], analysis) < 1e-15 + 1e-14 * gained`",
        "kernels.climbing.decay #0: `if drop < 0.001:` -> `if drop <= 0.001:`",
        "kernels.races.silent #101: `rung[j] = np.exp(others * np.log1p(-rung[j] - total)) if left > 0.0 else 0.0` -> `rung[j] = np.exp(others * np.log1p(-rung[j] - total)) if left >= 0.0 else 0.0`",
    ),
    "any shuffle serves: the generator may start anywhere, and blocks may be dealt from any place": (
        "kernels.jackknife.shuffled_blocks #14: `state = 1 + (group * 7919 + 12345) % (_MODULUS - 1)` -> `state = 1 - (group * 7919 + 12345) % (_MODULUS - 1)`",
        "kernels.jackknife.shuffled_blocks #15: `state = 1 + (group * 7919 + 12345) % (_MODULUS - 1)` -> `state = (group * 7919 + 12345) % (_MODULUS - 1)`",
        "kernels.jackknife.shuffled_blocks #29: `state = 1 + (group * 7919 + 12345) % (_MODULUS - 1)` -> `state = 1 + (group * 7919 + 12345) % (_MODULUS - 2)`",
        "kernels.jackknife.shuffled_blocks #55: `blocks[owner[i], i // h] += 1` -> `blocks[owner[i - 1], i // h] += 1`",
    ),
    "with order 1 nothing is left out twice": (
        "kernels.jackknife._share #9: `return (n if less == 0 else -n) / step if less < 2 else 0.0` -> `return (n if less == 0 else -n) / step if less <= 2 else 0.0`",
    ),
    "an atom without samples has zero times a finite weight either way": (
        "kernels.jackknife._tilted #17: `law[j] = left[j] * weight[rows[j]] if left[j] > 0 else 0.0` -> `law[j] = left[j] * weight[rows[j]] if left[j] >= 0 else 0.0`",
    ),
    "a copy of weight zero adds nothing: the line only saves work": (
        "kernels.segments.leave_out #94: `if one >= 0 and one == two and (counts[first + one] < 1.5):` -> `if one > 0 and one == two and (counts[first + one] < 1.5):`",
    ),
    "a rate below 1e-4 is right in the next loop too: the first one only saves calls of exp": (
        "kernels.races.silent #28: `while j < count and rate < _SLOW:` -> `while j > count and rate < _SLOW:`",
    ),
    "how the root of an increasing function is closed in on; where Newton's step fails a bracket is halved": (
        "kernels.mutual._lower_ratio #10: `for _ in range(200):` -> `for _ in range(199):`",
        "kernels.mutual._lower_ratio #44: `climb += pull * evaluate(rest, 1.0 - rest, slope) * mass * np.exp(y)` -> `climb -= pull * evaluate(rest, 1.0 - rest, slope) * mass * np.exp(y)`",
        "kernels.mutual._lower_ratio #65: `if not low < new < high:` -> `if not low <= new < high:`",
        "kernels.mutual._lower_ratio #68: `if not low < new < high:` -> `if not low < new > high:`",
    ),
    "how a root is closed in on: every fourth step halves the bracket, and it ends where the bracket does": (
        "kernels.shooting._bracketed_root #19: `inside = min(negative, positive) < x < max(negative, positive)` -> `inside = max(negative, positive) < x < max(negative, positive)`",
        "kernels.shooting._bracketed_root #23: `if not inside or count % 4 == 3:` -> `if not inside or count % 4 != 3:`",
        "kernels.shooting._bracketed_root #51: `if value == 0.0 or abs(positive - negative) <= 4e-16 * max(1.0, abs(x)):` -> `if value == 0.0 or abs(positive - negative) <= 4e-16 * max(0.0, abs(x)):`",
        "kernels.shooting._bracketed_root #60: `f_positive = f_positive / 2.0 if side == -1 else f_positive` -> `f_positive = f_positive if side == -1 else f_positive`",
        "kernels.shooting._bracketed_root #61: `f_positive = f_positive / 2.0 if side == -1 else f_positive` -> `f_positive = f_positive * 2.0 if side == -1 else f_positive`",
        "kernels.shooting._bracketed_root #68: `f_negative = f_negative / 2.0 if side == 1 else f_negative` -> `f_negative = f_negative if side == 1 else f_negative / 2.0`",
        "kernels.shooting._bracketed_root #70: `f_negative = f_negative / 2.0 if side == 1 else f_negative` -> `f_negative = f_negative / 2.0 if side == 2 else f_negative`",
    ),
    "how long the lowest point is searched for: below zero any point does, and 59 steps are enough": (
        "kernels.shooting._touching_point #24: `for _ in range(60):` -> `for _ in range(59):`",
        "kernels.shooting._touching_point #25: `if f1 < 0.0 or f2 < 0.0:` -> `if f1 < 0.0 and f2 < 0.0:`",
    ),
    "matters only where all atoms but the top one hold less than exp(-40): then a place is looked at twice": (
        "kernels.shooting._scanned #8: `high_end = max(SATURATED, low_end + 1.0)` -> `high_end = max(SATURATED, low_end - 1.0)`",
        "kernels.shooting._scanned #19: `linear = max(min(high_end, 40.0), low_end + 1.0)` -> `linear = max(min(high_end, 40.0), low_end + 0.0)`",
    ),
    "two solutions close to each other are found twice, by brackets around the map's ends and as a point where the mismatch turns: without one the other finds them": (
        "kernels.shooting._scanned #91: `for exponent in range(-11, -1):` -> `for exponent in range(-11, 1):`",
        "kernels.shooting._scanned #107: `if low > low_end and below < 0.0 and (descend(high, k, p, half_b, slope, work) > 0.0):` -> `if low > low_end or below < 0.0 or descend(high, k, p, half_b, slope, work) > 0.0:`",
        "kernels.shooting.all_roots #74: `elif 0 < i < count and (values[i - 1] < 0.0) == (f0 < 0.0):` -> `elif 0 <= i < count and (values[i - 1] < 0.0) == (f0 < 0.0):`",
        "kernels.shooting.all_roots #94: `if not (abs(f0) < abs(before) and abs(f0) <= abs(f1)):` -> `if abs(f0) < abs(before) and abs(f0) <= abs(f1):`",
        "kernels.shooting.all_roots #129: `for end in (i - 1, i + 1):` -> `for end in (i - 1, i + 2):`",
    ),
    "only the sign of the mismatch at the low end is used but for the first secant": (
        "kernels.shooting.all_roots #6: `values[0] = min(values[0], -1e-300)` -> `values[0] = max(values[0], -1e-300)`",
    ),
    "a tolerance of the rough march, which only finds out where solutions are": (
        "kernels.descent.rough_mass #91: `scale = 1e-06 * max(1.0, 0.1 * abs(log_f)) if log_f > -60.0 else 0.01 * abs(log_f)` -> `scale = 0.01 * abs(log_f) if log_f > -60.0 else 1e-06 * max(1.0, 0.1 * abs(log_f))`",
        "kernels.descent.rough_mass #123: `worst = max(abs(error_a) / scale, abs(error_m) / (1e-09 * max(1.0, above)))` -> `worst = max(abs(error_a) / scale, abs(error_m) / (1e-09 * max(0.0, above)))`",
    ),
    "the sign of a sum of which the size is taken": (
        "kernels.descent._tail #8: `term += analysis[degree, j] * values[j]` -> `term -= analysis[degree, j] * values[j]`",
    ),
    "when an iteration that has converged is left: further steps change nothing": (
        "kernels.descent._settle #88: `if change == 0.0 or (change <= 1e-14 and change >= previous / 2.0):` -> `if change == 0.0 or (change <= 1e-14 and change <= previous / 2.0):`",
        "kernels.descent._settle #89: `if change == 0.0 or (change <= 1e-14 and change >= previous / 2.0):` -> `if change == 0.0 or (change <= 1e-14 and change >= previous):`",
        "kernels.descent._settle #104: `return change <= 1e-13` -> `return change <= 2e-13`",
    ),
    "room that a march fills only if it fails; the test of that, quick when compiled, is slow as plain Python": (
        "kernels.descent.march #0: `edges = np.empty(MOST_PANELS + 1)` -> `edges = np.empty(MOST_PANELS - 1)`",
        "kernels.descent.march #7: `states = np.empty((MOST_PANELS + 1, 2))` -> `states = np.empty((MOST_PANELS + 0, 2))`",
    ),
    "one of four checks of a panel: the density's own tail holds log f where the policy has mass": (
        "kernels.descent.march #75: `settled = _tail(state[0], analysis) <= 1e-13 * size` -> `settled = _tail(state[0], analysis) <= size`",
    ),
    "stricter than needed: more panels, the same numbers": (
        "kernels.descent.march #143: `settled = settled and half * EDGE_SHARE * missed <= 1e-13 * size` -> `settled = settled and half / EDGE_SHARE * missed <= 1e-13 * size`",
    ),
    "how many starts are tried, and what is saved between starts that end alike; the ends are the same": (
        "kernels.climbing.climbed #0: `many = ordered or p.size <= 500` -> `many = ordered and p.size <= 500`",
        "kernels.climbing.climbed #6: `starts = min(p.size, MOST_STARTS if many else MOST_STARTS // 16)` -> `starts = min(p.size, MOST_STARTS // 16 if many else MOST_STARTS)`",
        "kernels.climbing.climbed #68: `alike = abs(found[first] - found[last]) <= _ALIKE * max(1.0, abs(found[last]))` -> `alike = abs(found[first] - found[last]) <= _ALIKE * min(1.0, abs(found[last]))`",
        "kernels.climbing.climbed #73: `if last - first > 1 and ordered and alike:` -> `if last - first >= 1 and ordered and alike:`",
        "kernels.climbing.climbed #74: `if last - first > 1 and ordered and alike:` -> `if last - first < 1 and ordered and alike:`",
        "kernels.climbing.climbed #77: `if last - first > 1 and ordered and alike:` -> `if last - first > 2 and ordered and alike:`",
    ),
    "how close two ends are one: they lie apart by much more or by rounding": (
        "kernels.climbing.climbed #127: `if found[s] - found[last] > _ALIKE * max(1.0, abs(found[s])):` -> `if found[s] - found[last] > _ALIKE * max(2.0, abs(found[s])):`",
    ),
}

EXPLAINED: dict[str, str] = {name: why for why, names in _WHY.items() for name in names}


def reason(name: str) -> str | None:
    """Why a mutant of that name need not be killed; None where nobody has said so."""
    before, _, after = name.replace("strict=True", "strict=False").partition("` -> `")
    if before.partition(": `")[2] == after.removesuffix("`"):
        return "the lengths that strict= compares are equal: it only guards"
    return EXPLAINED.get(name)
