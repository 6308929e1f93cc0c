"""What all mappings of the configuration have in common: strict, frozen, no key unknown."""

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from veloflux.config.scalars import retype


class Section(BaseModel):
    """A mapping of the file. The docstrings and descriptions are the reference documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    @field_validator("*", mode="wrap")
    @classmethod
    def _take_variable(cls, value: object, validate: ValidatorFunctionWrapHandler) -> object:
        """Take what `${NAME}` gave as text, or else as the number, boolean or null it may be."""
        try:
            return validate(value)
        except ValidationError:
            typed = retype(value)
            if typed is value or isinstance(typed, str):
                raise
            return validate(typed)


def option(default: object, description: str, **more: Any) -> Any:
    """A key with a default, written as in the file: it goes through the same validation.

    But for what means itself, since there may be thousands of sections.
    """
    more.setdefault("validate_default", not (default is None or isinstance(default, bool)))
    return Field(default, description=description, **more)
