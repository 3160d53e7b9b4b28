"""What `./sixstead` can do: one module a group of verbs."""
