"""Losses on preference pairs, and self-play."""

from infalign_theory.methods.core import Method

METHODS = (
    Method(
        "dpo", "2305.18290", "logit", "kl",
        "infinitely many pairs of base samples, Bradley-Terry preferences whose rewards are "
        "logistic under the base; other reward laws: their quantile function",
        "TRL DPOConfig(loss_type='sigmoid')",
    ),
    Method(
        "ipo", "2310.12036", "identity", "kl",
        "infinitely many pairs of base samples: the reward is the win probability against the base",
        "TRL DPOConfig(loss_type='ipo')",
    ),
    Method(
        "chi-po", "2407.13399", "identity", "chi2+kl",
        "the calibrated reward in place of the Bradley-Terry reward",
        "link function f + log f in the DPO loss",
    ),
    Method(
        "lsc", "2402.00742", "log", "kl",
        "raw rewards that are logistic under the base, the median as reference: then "
        "log sigmoid(r - r_ref) = log u",
    ),
    Method(
        "nash-md", "2312.00886", "identity", "forward-kl",
        "the regularised equilibrium of one sample against one: reverse KL against itself is "
        "forward KL against the base, at the same beta",
        "TRL NashMDTrainer",
    ),
    Method(
        "online-ipo", "2403.08635", "identity", "forward-kl",
        "the same equilibrium, where the iteration converges",
    ),
    Method(
        "slic", "2305.10425", None, None,
        "a hinge on the margin has no single solution: any policy past the margin has the same "
        "loss",
        "TRL DPOConfig(loss_type='hinge')",
    ),
)  # fmt: skip
