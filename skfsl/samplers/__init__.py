"""(room to be furnished)."""
