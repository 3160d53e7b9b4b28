"""Which resources exist, in what order, and what they hand each other."""
