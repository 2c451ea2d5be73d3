"""What the work costs, beside what others need for the same."""
