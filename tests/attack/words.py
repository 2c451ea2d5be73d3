"""Sound texts to breed from, and the pieces that are mixed in."""

FORMULAS = [
    "u**2", "exp(5*u)", "-exp(-10*u)", "log(u)", "clip(u,0.2,0.4)**2-max(0.2,1-u)", "step(u-0.5)",
    "where(u>0.5,u,0)", "tanh(3*u)+1e-3*sqrt(u)", "u*(1-u)", "min(u,0.3)+abs(u-0.7)", "logit(u)",
    "exp:10", "power:3", "identity", "optimal@bon:4", "expr:exp(t*u)", "quantile:norm", "log1p(u)",
]  # fmt: skip
PROCEDURES = [
    "standard", "bon:4", "won:16", "bon:1-32", "order:2/3", "bop:3", "mix:0.5*standard+0.5*bon:4",
    "g:p**2*(3-2*p)", "soft:8@5", "soft:8@5*exp:10", "reject:5*exp:10", "reject:5@64",
    "rewind:4@0.8",
]  # fmt: skip
DIVERGENCES = ["kl", "forward-kl", "chi2", "chi2+kl", "js", "alpha:0.5"]
PIECES = [
    "(", ")", "((((((((", "**", "**9**9", "+", "-", "*", "/", ",", ".", "..", "1e", "1e999", "e",
    "u", "p", "t", "__", "import", "lambda u:", "[0]", "{", "}", "'", '"', ";", "\n", "\0", "\t",
    " ", ":", "@", "#", "%", "=", "==", "<", ">", "if", "else", "not ", "and", "exp", "log", "nan",
    "inf", "True", "0x1F", "1_000", "1j", "9" * 400, "u" * 400, "\u03b1", "\u00b2", "\u2212",
    "\u221e", "\uff11", "\u202e", "\ud800", "bon:", "exp:", "mix:", "0.5*", ":", "/0", "!", "&",
    "|", "~", "\\", "$(ls)", "%s", "{0}",
]  # fmt: skip
