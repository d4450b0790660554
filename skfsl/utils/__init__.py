"""What all rooms use: validation, random state, parts, scikit-learn's private names."""
