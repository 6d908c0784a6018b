"""Conjugate updating, found on a program's trace."""
