"""How a program is read: its variables, what depends on what, and tables of conditional laws."""
