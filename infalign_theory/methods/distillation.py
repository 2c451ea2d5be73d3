"""Distillation of a sampler into the model, and samplers at inference."""

from infalign_theory.methods.core import Method

METHODS = (
    Method(
        "bond", "2407.14622", "log", "kl",
        "the distilled Best-of-N itself, N = 1 + 1/beta: f = N u^(N-1)",
    ),
    Method("vbon", "2407.06057", "log", "kl", "reverse KL to Best-of-N, exact base ranks"),
    Method(
        "bonbon", "2406.00832", "log", "kl", "Best-of-N as the target; its contrastive part is IPO"
    ),
    Method(
        "qrpo", "2507.08068", "identity", "kl",
        "exact partition function of the quantile reward; its log transform is vbon's",
    ),
    Method(
        "rso", "2309.06657", "identity", "kl",
        "rejection without a cap on draws: its samples are those of the exact tilt",
    ),
    Method(
        "brain", "2402.02479", "identity", "kl",
        "the posterior exp(reward/beta) over the base, its self-normalised form at many samples",
    ),
    Method(
        "ram", "2505.19700", None, None,
        "resampling at inference, not training: judge it as the procedure soft:N@K",
    ),
    Method(
        "soft-best-of-n", "2506.19248", None, None,
        "sampling at inference, not training: judge it as the procedure soft:N@K",
    ),
    Method(
        "best-of-poisson", "2506.19248", None, None,
        "sampling at inference, not training: judge it as the procedure bop:MU",
    ),
    Method(
        "inference-time-pessimism", "2503.21878", "identity", "chi2",
        "rejection sampling to (u - lambda)_+/beta, whose normaliser is known",
    ),
    Method(
        "deal", "2402.06147", None, None,
        "value guidance token by token: its law depends on the lookahead, not on ranks alone",
    ),
    Method(
        "transfer-q", "2405.20495", None, None,
        "value guidance token by token with raw rewards: no law of the calibrated reward alone",
    ),
    Method(
        "majority-vote", "2203.11171", None, None,
        "picks the most frequent answer, not the best by a reward: no calibrated reward decides it",
    ),
)  # fmt: skip
