"""What --workers may be."""

from __future__ import annotations

import pytest

from rollouts.errors import UserError
from rollouts.pools.pool import check_workers, open_pool
from rollouts.pools.processes import WorkerPool


@pytest.mark.parametrize("workers", [0, 3])
def test_a_number_means_worker_processes(workers: int):
    with open_pool(workers) as pool:
        assert isinstance(pool, WorkerPool)
        assert pool.workers == workers


@pytest.mark.parametrize("workers", ["many", "ray:somewhere", "ray:host:", "rays:auto"])
def test_what_is_neither_a_number_nor_an_address_is_refused(workers: str):
    with pytest.raises(UserError, match="takes a number"):
        check_workers(workers)


def test_without_ray_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rollouts.pools.pool.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e '.\[ray\]'"):
        check_workers("ray:auto")
