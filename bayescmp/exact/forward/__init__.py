"""One pass forwards through a program answers every question."""
