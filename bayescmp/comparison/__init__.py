"""Ask networks and rivals the same held-out questions, and measure every answer."""
