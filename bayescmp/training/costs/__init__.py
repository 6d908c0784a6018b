"""What a run cost: operations, energy, and curves against them."""
