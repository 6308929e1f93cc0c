"""What workers see of each other's work."""

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.support.edge import GET, OK, Rig
from veloflux.core.model.traffic import Backend, Pool
from veloflux.edge.board import CELLS, Board, Rows


class Boards(SynchronousTestCase):
    def setUp(self) -> None:
        self.rows = Rows.create()
        self.addCleanup(os.close, self.rows.fd)

    def test_a_worker_sees_the_sum(self) -> None:
        first, second = (Board(self.rows.fd, self.rows.take()) for _ in range(2))
        one, other = first.cell(7, 2), second.cell(7, 2)
        one.put(3)
        other.put(2)
        first.cell(8, 2).put(9)
        self.assertEqual((one.total(), other.total()), (5, 5))

    def test_what_a_dead_worker_did_is_forgotten(self) -> None:
        row = self.rows.take()
        survivor = Board(self.rows.fd, self.rows.take()).cell(CELLS - 1, 2)
        Board(self.rows.fd, row).cell(CELLS - 1, 2).put(5)
        self.assertEqual(survivor.total(), 5)
        self.rows.free(row)
        self.assertEqual(survivor.total(), 0)
        self.assertEqual(self.rows.take(), row)

    def test_a_worker_that_leaves_is_seen_beside_its_successor(self) -> None:
        boards = [Board(self.rows.fd, self.rows.take()) for _ in range(4)]
        for board in boards:
            board.cell(0, 2).put(1)
        self.assertEqual(boards[0].cell(0, 2).total(), 4)


class Shared(SynchronousTestCase):
    """A pool whose algorithm or bounds look at the load counts all workers'."""

    def rig(self, **backend: int) -> Rig:
        rows = Rows.create()
        self.addCleanup(os.close, rows.fd)
        rig = Rig(self, backends=2, workers=2, board=Board(rows.fd, rows.take()))
        members = tuple(Backend(each.address, **backend) for each in rig.backends)
        self.cells = {"app": {str(each.address): n for n, each in enumerate(members)}}
        self.other = Board(rows.fd, rows.take())
        rig.change(
            cells=self.cells, pools=(Pool("app", members, algorithm="least_conn"),), workers=2
        )
        return rig

    def test_the_least_loaded_is_so_for_all(self) -> None:
        rig = self.rig()
        self.other.cell(0, 2).put(2)
        for _ in range(2):
            rig.client().send(GET)
        self.assertEqual([len(each.connections) for each in rig.backends], [0, 2])
        self.assertEqual(self.other.cell(1, 2).total(), 2)
        for connection in rig.backends[1].connections:
            connection.send(OK)
        self.assertEqual(self.other.cell(1, 2).total(), 0)

    def test_a_bound_holds_for_all(self) -> None:
        rig = self.rig(max_connections=1)
        theirs = [self.other.cell(n, 2) for n in range(2)]
        for cell in theirs:
            cell.put(1)
        client = rig.client()
        client.send(GET)
        self.assertEqual((client.news, rig.inflight), (b"", 0))
        theirs[1].put(0)
        rig.wait(0.1)
        rig.backends[1].request()
        rig.backends[1].answer(OK)
        self.assertEqual(client.answer().status, 200)

    def test_a_backend_that_is_gone_leaves_its_cell(self) -> None:
        rig = self.rig()
        for _ in range(2):
            rig.client().send(GET)
        rig.change(cells={}, pools=(Pool("app", (Backend(rig.backends[0].address),)),), workers=2)
        self.assertEqual([self.other.cell(n, 2).total() for n in range(2)], [0, 0])
        for each in rig.backends:
            each.connections[0].send(OK)
        self.assertEqual([self.other.cell(n, 2).total() for n in range(2)], [0, 0])
