"""What the parts of bodies take is what their schemas say."""

import jsonschema_rs
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.api.parts import Seconds

SECONDS: TypeAdapter[float] = TypeAdapter(Seconds)

_ABOUT = st.sampled_from([-1, 0, 1, 10**9, 10**9 + 1, True, None, 1.5, "1.5s", "1,5s", "\u0661s"])
_TEXTS = st.from_regex(r"[0-9]{0,8}(\.[0-9]{0,8})?(ms|s|m|h|d)\n?", fullmatch=True)


class Durations(SynchronousTestCase):
    @given(_ABOUT | st.integers() | _TEXTS)
    def test_are_taken_as_documented(self, value: object) -> None:
        try:
            SECONDS.validate_python(value)
            is_taken = True
        except ValidationError:
            is_taken = False
        self.assertEqual(is_taken, jsonschema_rs.is_valid(SECONDS.json_schema(), value))
