"""Mutants that no test can or need kill, and why."""
# ruff: noqa: E501

from __future__ import annotations

_WHY: dict[str, tuple[str, ...]] = {
    "called for its refusal of what is neither 0 nor 1, which every size makes": (
        "empirical.hacking.attackers.judge_attacks #5: `pass_at(tries, 1)` -> `pass_at(tries, 2)`",
    ),
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
        "empirical.fitting.families.FixedTransform.allowed #0: `return bool(self.limits[0] < theta[0] < self.limits[1])` -> `return bool(self.limits[0] <= theta[0] < self.limits[1])`",
        "empirical.fitting.tilt_fit.TiltFit.beta #1: `return 1.0 / self.k.value if self.k.value > 0.0 else float('inf')` -> `return 1.0 / self.k.value if self.k.value >= 0.0 else float('inf')`",
        "empirical.prediction.discrete._reaching #2: `return (ci[0] if ci[0] < value else min(plain[0], value), ci[1] if value < ci[1] else max(plain[1], value))` -> `return (ci[0] if ci[0] <= value else min(plain[0], value), ci[1] if value < ci[1] else max(plain[1], value))`",
        "empirical.hacking.attackers.AttackSuccess.fits #1: `return self.fit_p is None or self.fit_p >= _DOUBT` -> `return self.fit_p is None or self.fit_p > _DOUBT`",
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
    "chances are divided by their sum": (
        "empirical.statistics.choices.soft_chances #29: `chances = STEP * first.sum(axis=0) * n / log_weights.size` -> `chances = STEP * first.sum(axis=0) / log_weights.size`",
    ),
    "a sign of 0 has been answered before": (
        "empirical.statistics.duels.reversed_order #3: `return WorstOfN(n) if sign > 0 else BestOfN(n)` -> `return WorstOfN(n) if sign >= 0 else BestOfN(n)`",
    ),
    "sign 0 is a single sample, of which the best is the worst": (
        "empirical.statistics.duels.kernel_sides #5: `best = np.array([[sign >= 0 for sign, _ in pair] for pair in pairs], dtype=np.intp)` -> `best = np.array([[sign > 0 for sign, _ in pair] for pair in pairs], dtype=np.intp)`",
        "empirical.statistics.estimators._side #2: `return (n, sign >= 0)` -> `return (n, sign > 0)`",
        "empirical.statistics.estimators._side #4: `return (n, sign >= 0)` -> `return (n, sign >= 1)`",
    ),
    "any negative size means: as many rows as there are": (
        "empirical.statistics.duels.kernel_sides #9: `return Sides(sizes, best.reshape(-1, 2))` -> `return Sides(sizes, best.reshape(-2, 2))`",
    ),
    "a shift of all exponents of a prompt goes into its normaliser": (
        "empirical.statistics.prompt_bases.tilted #24: `centred = finite - bases.spread_out(bases.sums(bases.mass * finite))` -> `centred = finite + bases.spread_out(bases.sums(bases.mass * finite))`",
        "empirical.fitting.tied_ranks.TiedRanks.looked_up #7: `shifted = eta - high` -> `shifted = eta + high`",
        "empirical.statistics.whole_laws.answer_chances #27: `return soft_chances(log_weights - log_weights.max(), procedure.n)` -> `return soft_chances(log_weights, procedure.n)`",
    ),
    "a bound on work: it decides how far small biases are followed": (
        "empirical.statistics.thinning.ThinnedBases.of #28: `cost = {2: np.sum(each * (1 + each * (each + 3) / 2)), 1: np.sum(each * (1 + each))}` -> `cost = {2: np.sum(each * (1 + each * (each + 3) / 2)), 1: np.sum(1 + each)}`",
    ),
    "rows of a curve are centred: the mean of the multipliers adds nothing": (
        "empirical.statistics.turning.peaks #2: `noise -= noise.mean(axis=1, keepdims=True)` -> `noise += noise.mean(axis=1, keepdims=True)`",
    ),
    "how close to an end a calibrated reward is pushed: within 2^-53 either way": (
        "empirical.statistics.whole_laws.answer_chances #15: `inner = np.clip(u, 2.0 ** (-53), 1.0 - 2.0 ** (-53))` -> `inner = np.clip(u, 2.0 ** (-53), 1.0 - 2.0 ** (-54))`",
    ),
    "where a climb starts, or how long its first part is; it ends at the same maximum": (
        "empirical.fitting.discrete_fit.fit_discrete #21: `return _solved(ranks, transform, fixed, np.array([k * spread]), scale=spread, level=level)` -> `return _solved(ranks, transform, fixed, np.array([k / spread]), scale=spread, level=level)`",
        "empirical.fitting.discrete_fit.fit_discrete #23: `return _solved(ranks, transform, fixed, np.array([k * spread]), scale=spread, level=level)` -> `return _solved(ranks, transform, fixed, np.array([spread]), scale=spread, level=level)`",
        "empirical.fitting.tied_ranks.TiedRanks.spread_over #6: `places = np.linspace(0, chosen.size - 1, min(chosen.size, most)).astype(int)` -> `places = np.linspace(0, chosen.size - 2, min(chosen.size, most)).astype(int)`",
        "empirical.fitting.tilt_fit._best_exponential #3: `theta, value = maximise(likelihood, FixedTransform(family.phi(t)), np.zeros(1), rounds=6)` -> `theta, value = maximise(likelihood, FixedTransform(family.phi(t)), np.zeros(1), rounds=5)`",
        "empirical.fitting.tilt_fit._best_exponential #5: `_, a, t = max(tried)` -> `_, a, t = min(tried)`",
        "empirical.fitting.likelihood.newton_step #3: `floor = 1e-10 * float(np.max(np.abs(curvature))) + 1e-300` -> `floor = 1e-10 / float(np.max(np.abs(curvature))) + 1e-300`",
    ),
    "of the eigenvalues only the sizes are used": (
        "empirical.fitting.likelihood.newton_step #0: `curvature, axes = np.linalg.eigh(-value.hessian)` -> `curvature, axes = np.linalg.eigh(value.hessian)`",
    ),
    "a row more is read than has a weight": (
        "empirical.fitting.likelihood.Counts.prompt_means #5: `full = [ustatistics.averaged_over_thinning(values[first:first + smaller + 1], k, smaller) for k, smaller, _, first in self.blocks]` -> `full = [ustatistics.averaged_over_thinning(values[first:first + smaller + 2], k, smaller) for k, smaller, _, first in self.blocks]`",
    ),
    "nodes lie evenly about 0": (
        "empirical.fitting.spread._Curves.mixed #4: `at = np.clip(centre - self.start + log_sd * _NODES, low, high)` -> `at = np.clip(centre - self.start - log_sd * _NODES, low, high)`",
    ),
    "with twelve grades either way leaves out every sample, one by one or in blocks": (
        "empirical.fitting.tied_ranks.TiedRanks.base_laws #0: `many = np.diff(self.atoms) > jackknife.MOST_ATOMS` -> `many = np.diff(self.atoms) >= jackknife.MOST_ATOMS`",
    ),
    "room that is never read": (
        "empirical.fitting.tied_ranks.TiedRanks.base_laws #5: `blocks = np.zeros((self.counts.size if many.any() else 0, jackknife.BLOCKS), np.int32)` -> `blocks = np.zeros((self.counts.size if many.any() else 1, jackknife.BLOCKS), np.int32)`",
    ),
    "0 either way": (
        "empirical.fitting.tilt_fit.TiltFit.expected #1: `return Expectation(np.where(used[:, None], rates, np.nan), influence, 0.0 * rates)` -> `return Expectation(np.where(used[:, None], rates, np.nan), influence, 0.0 / rates)`",
    ),
    "the step of a difference": (
        "empirical.fitting.tilt_fit._Solution.slope #0: `smallest = 1e-06 * max(1.0, abs(float(self.theta[i])))` -> `smallest = 1e-06 / max(1.0, abs(float(self.theta[i])))`",
    ),
    "at k = 0 the optimum is the base itself": (
        "empirical.prediction.discrete.ratios_of #3: `return lambda k: optima.at(k) if k > 0.0 else np.zeros(bases.mass.size)` -> `return lambda k: optima.at(k) if k >= 0.0 else np.zeros(bases.mass.size)`",
    ),
    "a guard against the last digits of a correction: no base is known whose corrected mean leaves [0, 1]": (
        "empirical.prediction.discrete.corrected_win_rate #12: `value = min(max(float(np.mean(found)), 0.0), 1.0)` -> `value = min(max(float(np.mean(found)), 0.0), 2.0)`",
    ),
    "where a search by halving starts": (
        "empirical.prediction.truths.TruthRows._reach #11: `low, high = (high, 2 * high)` -> `low, high = (high, 2 / high)`",
        "empirical.hacking.decay._expected #8: `low, high, tilt = (0.0, 0.98 * family.limit, None)` -> `low, high, tilt = (0.0, family.limit, None)`",
    ),
    "a beta of 0 is refused before; and beta, or the KL that it spends, name the same policy": (
        "empirical.prediction.truths._RatioOf.__call__ #2: `k = 1.0 / self.row.beta if 0.0 < self.row.beta < np.inf else 0.0` -> `k = 1.0 / self.row.beta if 0.0 <= self.row.beta < np.inf else 0.0`",
        "empirical.prediction.truths._RatioOf._policy #1: `beta = self.row.beta if 0.0 < self.row.beta < np.inf else None` -> `beta = self.row.beta if 0.0 <= self.row.beta < np.inf else None`",
        "empirical.prediction.truths._RatioOf._policy #4: `beta = self.row.beta if 0.0 < self.row.beta < np.inf else None` -> `beta = self.row.beta if 0.0 < self.row.beta > np.inf else None`",
        "empirical.prediction.truths._RatioOf._policy #5: `beta = self.row.beta if 0.0 < self.row.beta < np.inf else None` -> `beta = self.row.beta if 1.0 < self.row.beta < np.inf else None`",
    ),
    "the largest of sums that are all scaled alike": (
        "empirical.hacking.tilts.Path.peak #6: `climbed = np.cumsum((mean[1:] + mean[:-1]) / 2.0 * np.diff(self.log_k))` -> `climbed = np.cumsum((mean[1:] + mean[:-1]) * 2.0 * np.diff(self.log_k))`",
    ),
}

EXPLAINED: dict[str, str] = {name: why for why, names in _WHY.items() for name in names}


def reason(name: str) -> str | None:
    """Why a mutant of that name need not be killed; None where nobody has said so."""
    before, _, after = name.replace("strict=True", "strict=False").partition("` -> `")
    if before.partition(": `")[2] == after.removesuffix("`"):
        return "the lengths that strict= compares are equal: it only guards"
    return EXPLAINED.get(name)
