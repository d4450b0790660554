"""Displays: the only rooms where matplotlib is opened, and late."""
