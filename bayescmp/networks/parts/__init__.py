"""What residual networks are made of."""
