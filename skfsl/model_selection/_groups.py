"""Groups of samples that are never split across train and test."""

import numpy as np

__all__ = ["keep_groups_whole"]


def keep_groups_whole(
    train: np.ndarray,
    test: np.ndarray,
    groups: np.ndarray,
    queue: np.ndarray,
    test_share: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each group that is on both sides to one of them.

    Parameters
    ----------
    train, test : ndarray of bool of shape (n_samples,)
        Which samples are on each side.
    groups : ndarray of shape (n_samples,)
        Codes of the groups: 0 to n_groups - 1.
    queue : ndarray of shape (n_groups,)
        All groups, in the order in which they are dealt to the test side.
    test_share : float
        Share of the groups on both sides that go to the test side.

    Returns
    -------
    train, test : ndarray of bool of shape (n_samples,)
        Both sides, without the samples whose group went to the other.
    queue : ndarray of shape (n_groups,)
        The queue of the next fold: groups that went to the test side stand last.

    Raises
    ------
    ValueError
        If a side would be empty: all samples are of one group.
    """
    in_train = np.bincount(groups[train], minlength=len(queue))
    in_test = np.bincount(groups[test], minlength=len(queue))
    shared = (in_train > 0) & (in_test > 0)
    n_shared = int(shared.sum())
    if n_shared == 1:
        n_test = int(_single_goes_to_test(shared, in_train, in_test))
    else:
        # With one of them on each side, neither is empty.
        n_test = max(min(round(n_shared * test_share), n_shared - 1), min(n_shared, 1))
    to_test = np.zeros(len(queue), dtype=bool)
    to_test[queue[shared[queue]][:n_test]] = True
    queue = np.concatenate([queue[~to_test[queue]], queue[to_test[queue]]])
    return train & ~to_test[groups], test & ~(shared & ~to_test)[groups], queue


def _single_goes_to_test(shared, in_train, in_test) -> bool:
    """Tell whether the one group on both sides is more of the test side's."""
    needed_in_train = in_train[~shared].sum() == 0
    needed_in_test = in_test[~shared].sum() == 0
    if needed_in_train and needed_in_test:
        raise ValueError(
            "Cannot keep groups whole: all samples of the train and of the test "
            "classes are of one group, and one side would be empty. Pass finer groups, "
            "or none."
        )
    if needed_in_train or needed_in_test:
        return needed_in_test
    return in_test[shared][0] > in_train[shared][0]
