"""One question, one answer: which transform, at which beta, for what will happen at inference."""

from infalign_theory.advice.recommendation import Candidate, Recommendation, recommend
from infalign_theory.advice.tables import exponent_table

__all__ = ["Candidate", "Recommendation", "exponent_table", "recommend"]
