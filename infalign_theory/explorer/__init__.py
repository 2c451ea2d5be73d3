"""Live exploration of transforms: one view, as a page of its own and as a widget in notebooks."""
