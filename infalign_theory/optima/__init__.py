"""The coupled optimum: the policy that maximises W - beta KL, for every pair and base."""
