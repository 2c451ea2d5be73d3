"""``python -m infalign_theory`` is ``infalign``."""

from infalign_theory.cli import main

if __name__ == "__main__":
    main()
