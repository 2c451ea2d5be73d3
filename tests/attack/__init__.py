"""Random attacks of nightly length: ``python -m tests.attack.NAME --count N --seed S``."""
