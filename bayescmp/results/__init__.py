"""What a comparison leaves: one schema, checked, saved and loaded, and the claims judged on it."""
