"""Posters of moments: made when somebody first asks, since choosing again makes other moments in a second.

They lie beside the source and are deleted with it, with the moment, and when its edges move.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace

from clipforge.common import storage
from clipforge.media import MediaError, portray
from clipforge.media.operations import CHOOSING_LIMITS
from projects import faces, pictures, turns
from projects.models import Moment, Project

logger = logging.getLogger(__name__)

# A poster takes half a second as a rule, but twenty where a source has one keyframe in an hour.
PATIENCE = turns.PATIENCE
_slots = turns.slots


def signed_url(moment: Moment, name: str) -> str:
    """The path to a poster of the moment, which is made if it is not there.

    That of the whole project where none can be made, or others are being made. Making one takes half a
    second in a child process; call it outside a transaction. Raises Conflict before the project was
    analysed.
    """
    link = pictures.signed_url(moment.project, name, moment=moment)
    key = pictures.beginning_of(moment.project, moment.pk) + name
    if storage.is_there(key) or _made_in_turn(moment, key):
        return link
    return pictures.signed_url(moment.project, name)


def _made_in_turn(moment: Moment, key: str) -> bool:
    """Whether the poster is there, made by us or by who had the turn before. False without a turn."""
    if not _slots.acquire(timeout=PATIENCE):
        return False
    try:
        return storage.is_there(key) or _made(moment)
    finally:
        _slots.release()


def _made(moment: Moment) -> bool:
    key = moment.project.source_key
    if not storage.is_at_hand(key):  # missing, or so large that fetching it takes minutes
        return False
    beginning = pictures.beginning_of(moment.project, moment.pk)
    with (
        storage.full_disk_is_refused(),
        storage.local_copy(key) as source,
        storage.workspace(uuid.uuid4(), 0) as folder,
    ):
        try:
            names = portray(
                source,
                folder,
                start=moment.start,
                end=moment.end,
                face_model=faces.model(),
                limits=replace(CHOOSING_LIMITS, max_duration=moment.project.duration + 1),
            )
        except MediaError as error:
            logger.warning("no poster of moment %s: %s", moment.pk, error)
            return False
        for made in names:
            storage.publish(folder / made, beginning + made)
    pictures.count_bytes(moment.project)
    # Moved or deleted meanwhile, it or its source, when there was no poster to delete.
    as_it_was = Moment.objects.filter(pk=moment.pk, start=moment.start, end=moment.end)
    if not as_it_was.filter(project__status__in=Project.ANALYSED).exists():
        pictures.forget(moment.project, [moment.pk])
        return False
    return bool(names)
