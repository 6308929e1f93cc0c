from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.flow.stages import Stages
from veloflux.core.model.traffic import HeaderEdits, Redirect, Route


class Lines(SynchronousTestCase):
    """S26: the one place where configured text becomes header bytes"""

    def test_refuses_what_could_end_a_line(self) -> None:
        """S26"""
        for name, value in (
            ("X", "a\r\nY: b"),
            ("X", "a\nY: b"),
            ("X", "a\rY: b"),
            ("X", "a\r\n\r\nbody"),
            ("X", "a\x00b"),
            ("X", "a\x0bb"),
            ("X", "a\x7fb"),
            ("X\r\nY", "b"),
            ("X\nY", "b"),
            ("X: a", "b"),
            ("X Y", "b"),
            ("X ", "b"),
            (" X", "b"),
            ("", "b"),
            ("X\x00", "b"),
            ("é", "b"),
            ("X", "€"),
        ):
            for edits in (HeaderEdits(set=((name, value),)), HeaderEdits(add=((name, value),))):
                for route in (
                    Route("r", request_headers=edits),
                    Route("r", response_headers=edits),
                ):
                    with self.assertRaises(ValueError, msg=repr((name, value))):
                        Stages(route)

    def test_refuses_a_redirect_that_could_end_a_line(self) -> None:
        """S26"""
        for to in ("/\r\nX: y", "/\n", "/\r", "/\x00", "/\r\n\r\nbody", "/é", "/a b"):
            with self.assertRaises(ValueError, msg=repr(to)):
                Stages(Route("r", redirect=Redirect(to)))

    def test_takes_what_a_value_may_have(self) -> None:
        """S26"""
        for value in ("", "a", "a b\tc", 'a "b", c;d=e', "max-age=0", "é"):
            stages = Stages(Route("r", request_headers=HeaderEdits(add=(("X-Y", value),))))
            assert stages.edit_request is not None
            expected = b"A: b\r\nX-Y: " + value.encode("latin-1") + b"\r\n"
            self.assertEqual(stages.edit_request(b"A: b\r\n"), expected)

    def test_refuses_an_id_beside_its_own(self) -> None:
        """A backend that read the other one would write another id in its log than ours is."""
        for edits in (
            HeaderEdits(set=(("x-request-id", "a"),)),
            HeaderEdits(add=(("X-Request-ID", "a"),)),
            HeaderEdits(remove=("X-Request-Id",)),
        ):
            for sides in ({"request_headers": edits}, {"response_headers": edits}):
                self.assertRaises(ValueError, Stages, Route("r", **sides))

    def test_costs_nothing_when_there_is_nothing_to_do(self) -> None:
        stages = Stages(Route("r"))
        self.assertIsNone(stages.edit_request)
        self.assertFalse(stages.dresses)

    def test_removes_before_it_adds(self) -> None:
        edits = HeaderEdits(set=(("A", "1"),), add=(("A", "2"),), remove=("a",))
        edit = Stages(Route("r", request_headers=edits)).edit_request
        assert edit is not None
        self.assertEqual(edit(b"a: 0\r\nB: 0\r\nA: 0\r\n"), b"B: 0\r\nA: 1\r\nA: 2\r\n")
