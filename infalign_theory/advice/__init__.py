"""One question, one answer: which transform, at which beta, for what will happen at inference."""

from infalign_theory.advice.recommendation import Candidate, Recommendation, recommend

__all__ = ["Candidate", "Recommendation", "recommend"]
