"""Filters that templates of staff take from `formatting`."""

from __future__ import annotations

from django import template

from clipforge.staff import formatting

register = template.Library()

register.filter("state_of", formatting.state_of)
register.filter("bytes", formatting.size)
register.filter("length", formatting.length)
register.filter("seconds", formatting.seconds)
register.filter("moment", formatting.moment)
