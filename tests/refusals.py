"""Honest refusals in tests of anything: each has a reason that was foreseen, and they are few."""

from infalign_theory.errors import InfalignError


class Refusals:
    """Counts what was asked and what was refused, for one of the reasons given."""

    def __init__(self, *reasons):
        self.reasons = reasons
        self.asked = self.refused = 0

    def ask(self, call):
        """The result; None where it is refused for a foreseen reason."""
        self.asked += 1
        try:
            return call()
        except InfalignError as error:
            message = str(error)
        assert any(reason in message for reason in self.reasons), message
        self.refused += 1
        return None

    def at_most(self, share):
        """Check that enough was answered for the test to mean something."""
        assert self.asked > 0
        assert self.refused <= share * self.asked, f"{self.refused} of {self.asked} refused"
