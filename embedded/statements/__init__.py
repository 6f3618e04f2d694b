"""What a statement is, and the statements that are not queries: a module per family."""
