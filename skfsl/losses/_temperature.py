"""What scores are divided by in a softmax."""

__all__ = ["SCORE_TYPES", "default_temperature"]

SCORE_TYPES = ("neg_sq_distance", "cosine", "logit")


def default_temperature(
    score_type: str, embedding_dim: int, *, cosine: float = 0.02
) -> float:
    """Return the temperature that a softmax over scores works with.

    Parameters
    ----------
    score_type : {"neg_sq_distance", "cosine", "logit"}
        Kind of the scores.
    embedding_dim : int
        Width of the embeddings.
    cosine : float, default=0.02
        The answer for cosines.

    Returns
    -------
    temperature : float
        For squared distances a quarter of the width, between 1 and 16: they grow with
        the number of components, and a softmax over large ones is saturated: what is
        right already teaches nothing more. Found by trying, on characters and digits.
        Logits need none.
    """
    if score_type == "cosine":
        # Cosines lie in [-1, 1]: a softmax over them as they are is flat.
        return cosine
    if score_type == "neg_sq_distance":
        return min(16.0, max(1.0, embedding_dim / 4))
    return 1.0
