"""Texts of a customer's own on a thing, by name: kept and shown, never read."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import serializers
from rest_framework.utils import html

from clipforge.common.api.parsers import refuse_null_characters

MAX_NAMES = 20
MAX_NAME_LENGTH = 40
MAX_TEXT_LENGTH = 500


class MetadataField(serializers.DictField):
    """Up to 20 texts. In a form it is one field with the JSON of it."""

    child = serializers.CharField(max_length=MAX_TEXT_LENGTH, allow_blank=True)

    def __init__(self, **options: Any) -> None:
        about = f"Up to {MAX_NAMES} texts of your own, by name: {MAX_NAME_LENGTH} and {MAX_TEXT_LENGTH} characters."
        super().__init__(**{"help_text": about, "required": False, **options})

    def get_value(self, dictionary: Any) -> Any:
        text = dictionary.get(self.field_name) if html.is_html_input(dictionary) else None
        if text is None:
            return super().get_value(dictionary)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text  # no object, which validation says

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            refuse_null_characters(data)
            if not all(isinstance(value, str) for value in data.values()):
                raise serializers.ValidationError("Its values are texts.")
        values = super().to_internal_value(data)
        if len(values) > MAX_NAMES:
            raise serializers.ValidationError(f"There are more than {MAX_NAMES} names.")
        if not all(0 < len(name) <= MAX_NAME_LENGTH for name in values):
            raise serializers.ValidationError(f"A name has 1 to {MAX_NAME_LENGTH} characters.")
        try:
            json.dumps(values, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise serializers.ValidationError("It has half of a pair of characters.") from None
        return values
