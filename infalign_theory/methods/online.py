"""Policy gradients: the estimator of the penalty decides which divergence is paid."""

from infalign_theory.methods.core import Method

ONE_DECISION = "responses as one decision; token by token it is an approximation"

METHODS = (
    Method(
        "rloo", "2402.14740", "identity", "kl", ONE_DECISION,
        "TRL RLOOConfig(beta=...): k1 inside the reward",
    ),
    Method(
        "ppo", "2203.02155", "identity", "kl", ONE_DECISION,
        "KL inside the reward (OpenRLHF; verl algorithm.use_kl_in_reward=True)",
    ),
    Method(
        "grpo-k3", "2402.03300", "identity", "forward-kl",
        f"on-policy steps, no division by the group's deviation; {ONE_DECISION}",
        "TRL GRPOConfig(beta=..., scale_rewards='none', use_bias_correction_kl=False); "
        "verl use_kl_loss=True, kl_loss_type='low_var_kl'",
    ),
    Method(
        "grpo-corrected", "2402.03300", "identity", "kl",
        f"on-policy steps, no division by the group's deviation; {ONE_DECISION}",
        "TRL GRPOConfig(beta=..., scale_rewards='none', use_bias_correction_kl=True)",
    ),
    Method(
        "grpo-k2", "2402.03300", "identity", "kl",
        f"on-policy steps: the gradient of (log r)^2/2 is that of the reverse KL; {ONE_DECISION}",
        "verl use_kl_loss=True, kl_loss_type='mse'",
    ),
    Method(
        "grpo-std", "2402.03300", "identity", "kl",
        "large groups and continuous calibrated rewards: the same policies, but the strength k "
        "solves k sd(k) = 1/beta, which has no solution below beta = 1: there it collapses",
        "TRL GRPOConfig(scale_rewards='group', use_bias_correction_kl=True)",
    ),
    Method(
        "grpo-k1-loss", "2402.03300", None, None,
        "k1 in the loss has a gradient of mean zero: nothing holds the policy, whose KL grows "
        "until training stops",
        "verl kl_loss_type='kl'",
    ),
    Method(
        "ctrl", "2412.19792", "exp:10", "kl", ONE_DECISION,
        "calibrated reward through exp(10u), then any trainer that pays reverse KL",
    ),
    Method(
        "ctrl-worst", "2412.19792", "exp:-10", "kl", ONE_DECISION,
        "calibrated reward through -exp(-10u), then any trainer that pays reverse KL",
    ),
    Method(
        "threshold", "2602.02572", "expr:sigmoid(40*(u - 0.8))", "kl",
        "a step of the reward at the base's quantile 0.8, softened by a sigmoid as the paper does; "
        "its own threshold moves with beta",
    ),
    Method(
        "pkpo-4", "2505.15201", "optimal@bon:4|standard", "kl",
        "max@4 of the calibrated reward: the coupled optimum of Best-of-4 against one base sample",
        "rewards of a group replaced by their shares in max@k",
    ),
)  # fmt: skip
