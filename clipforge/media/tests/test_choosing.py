"""Choosing again from what an analysis keeps, and moving the edges of one moment."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import pytest

from clipforge.media import operations
from clipforge.media.analysis import analyse
from clipforge.media.choosing import KEYFRAMES_SUFFIX, choose, place
from clipforge.media.contracts import Choice, Limits, MediaError, Snap
from clipforge.media.features import Picture, Sound
from clipforge.media.kept import keep, unpack
from clipforge.media.kept_format import FORMAT, HEADER, phrases
from clipforge.media.sample import make_sample
from clipforge.media.scoring import SCORER_VERSION
from clipforge.media.tests import tracks
from clipforge.media.words.transcript import Sentence, Transcript, Word

SPOKEN = ((10.0, 18.0), (19.0, 24.0), (25.0, 33.0), (60.0, 85.0))


def made(seconds: float = 120) -> tuple[Sound, Picture]:
    random = np.random.default_rng(0)
    sound, picture = tracks.sound(seconds, *SPOKEN), tracks.picture(seconds, motion=3, cuts=(40.0,))
    sound.level[:] += random.uniform(-3, 3, len(sound.level))
    picture.motion[:] += random.uniform(0, 5, len(picture.motion))
    return sound, picture


def features(seconds: float = 120, *, exact_cuts: bool = True) -> bytes:
    return keep(*made(seconds), seconds, exact_cuts=exact_cuts)


def said(*sentences: tuple[str, float]) -> Transcript:
    """Sentences of words of half a second each, from the second given."""
    return Transcript(
        "en",
        tuple(
            Sentence(
                tuple(
                    Word(word, start + index / 2, start + index / 2 + 0.4, 0.9)
                    for index, word in enumerate(text.split())
                )
            )
            for text, start in sentences
        ),
        "hand-written",
    )


class TestKept:
    def test_what_is_kept_is_what_was_measured_to_a_small_step(self):
        sound, picture = made()
        kept = unpack(keep(sound, picture, 119.7, exact_cuts=True))
        assert (kept.duration, kept.exact_cuts) == (119.7, True)
        assert kept.sound.level == pytest.approx(sound.level, abs=0.17)
        assert kept.sound.voice == pytest.approx(sound.voice, abs=0.17)
        assert kept.sound.flux == pytest.approx(sound.flux, abs=0.07)
        assert kept.picture.motion == pytest.approx(picture.motion, abs=0.13)
        assert (kept.sound.speech == sound.speech).all()
        assert (kept.picture.cut == picture.cut).all()
        assert (kept.picture.luma == picture.luma).all()

    def test_keeping_again_loses_nothing_more(self):
        kept = unpack(features())
        again = keep(kept.sound, kept.picture, kept.duration, exact_cuts=kept.exact_cuts)
        assert again == features()

    def test_an_hour_of_noise_is_under_a_quarter_of_a_megabyte(self):
        assert 50_000 < len(features(3600)) < 250_000

    def test_without_sound_or_pictures_there_are_none(self):
        kept = unpack(keep(tracks.sound(0), tracks.picture(0), 0, exact_cuts=False))
        assert (kept.sound.seconds, kept.picture.seconds) == (0, 0)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x01",
            b"\x02" + features()[1:],
            features()[:-1],
            features()[:-200],
            features()[: HEADER.size],
            features()[: HEADER.size] + b"rubbish",
            HEADER.pack(FORMAT, 1, float("nan"), 1, 1) + zlib.compress(b"\0" * 8),
            HEADER.pack(FORMAT, 1, -1.0, 1, 1) + zlib.compress(b"\0" * 8),
            HEADER.pack(FORMAT, 1, 60.0, 2**32 - 1, 1) + zlib.compress(b"\0" * 8),
            HEADER.pack(FORMAT, 1, 60.0, 10, 10) + zlib.compress(b"\0" * 8),
            HEADER.pack(FORMAT, 1, 60.0, 10, 10) + zlib.compress(b"\0" * 50_000_000),
        ],
    )
    def test_anything_else_is_refused(self, data):
        with pytest.raises(ValueError, match="features"):
            unpack(data)

    @pytest.mark.parametrize(("start", "end"), [(0, 60), (12.3, 40), (39.9, 90), (70, 80), (5, 5)])
    def test_phrases_are_read_without_numpy_as_they_were_kept(self, start, end):
        kept = unpack(features()).sound.speech
        hops = kept[int(start * 20) : round(end * 20)]
        found = phrases(features(), start, end)
        assert sum(last - first for first, last in found) == pytest.approx(hops.sum() / 20)
        assert all(start - 0.05 < first < last <= end for first, last in found)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], hops.astype(int), [0]])))
        assert 2 * len(found) == len(edges)

    def test_a_declared_length_that_does_not_fit_the_rows_is_survived(self):
        """A child that was taken over says ten hours and sends a minute, or the other way round."""
        sound, picture = made(60)
        for duration in (0.0, 3.0, 36_000.0):
            chosen = choose(unpack(keep(sound, picture, duration, exact_cuts=True)), None, Choice())
            assert all(0 <= m.start < m.end <= duration for m in chosen.moments)

    def test_hostile_features_choose_within_bounds(self):
        random = np.random.default_rng(1)
        for size in (1, 7, 400):
            packed = random.integers(
                0, 256, 3 * 20 * size + -(-20 * size // 8) + 8 * size + -(-4 * size // 8)
            )
            body = zlib.compress(packed.astype(np.uint8).tobytes())
            kept = unpack(HEADER.pack(FORMAT, 1, float(size), 20 * size, 4 * size) + body)
            for moment in choose(kept, None, Choice(count=30, min_seconds=3)).moments:
                assert 0 <= moment.start < moment.end <= size
                assert 0 <= moment.score <= 100


class TestChoosingAgain:
    def test_the_same_wishes_choose_the_same(self, tmp_path):
        path = tmp_path / "sample.mp4"
        make_sample(path, seconds=80, seed=1)
        wishes = Choice(count=2, min_seconds=5)
        analysis = analyse(path, Limits(), lambda *_: None, wishes=wishes)
        assert len(analysis.moments) == 2
        again = operations.choose(base64.b64decode(analysis.features), None, wishes)
        assert again.moments == analysis.moments
        assert again.scorer_version == analysis.scorer_version == SCORER_VERSION

    def test_wishes_reach_the_child(self):
        wishes = Choice(start=50, end=100, min_seconds=3, max_seconds=30, kinds=("talk",))
        (moment,) = operations.choose(features(), None, wishes).moments
        assert 58 < moment.start < moment.end < 88
        taken = Choice(taken=((moment.start, moment.end),), start=50, end=100)
        assert operations.choose(features(), None, taken).moments == []

    def test_nothing_for_the_wishes_is_told_from_nothing_at_all(self):
        assert choose(unpack(features()), None, Choice(kinds=("music",))).others
        calm = keep(tracks.sound(60), tracks.picture(60), 60, exact_cuts=True)
        assert not choose(unpack(calm), None, Choice(kinds=("music",))).others

    def test_features_of_keyframes_keep_their_version(self):
        kept = unpack(features(exact_cuts=False))
        assert choose(kept, None, Choice()).scorer_version == SCORER_VERSION + KEYFRAMES_SUFFIX

    @pytest.mark.parametrize("data", [b"", b"rubbish", features()[:-1]])
    def test_features_that_are_none_are_a_failure_and_nothing_else(self, data):
        with pytest.raises(MediaError):
            operations.choose(data, None, Choice())

    def test_a_transcript_reaches_the_child(self):
        words = said(("It was a long way home.", 10.0))
        (moment,) = operations.place(
            features(), words, start=10.7, end=12.7, snap=Snap.SENTENCE
        ).moments
        assert (moment.start, moment.end) == (10.0, 12.9)


class TestPlacing:
    TALK = said(("It was a long way home.", 10.0), ("Nobody came.", 19.0))

    def placed(
        self, start: float, end: float, snap: Snap, words: Any = TALK
    ) -> tuple[float, float]:
        (moment,) = place(unpack(features()), words, start, end, snap).moments
        return moment.start, moment.end

    def test_an_edge_moves_to_the_word(self):
        assert self.placed(10.7, 11.8, Snap.WORD) == (10.5, 11.9)

    def test_an_edge_moves_to_the_sentence(self):
        assert self.placed(11, 19.2, Snap.SENTENCE) == (10.0, 19.9)

    def test_an_edge_moves_to_the_cut_and_keeps_clear_of_it(self):
        assert self.placed(41, 60, Snap.CUT) == (40.125, 60)
        assert self.placed(20, 38, Snap.CUT) == (20, 39.875)

    def test_an_edge_without_one_in_reach_stays(self):
        assert self.placed(30.1, 45.2, Snap.SENTENCE) == (30.1, 45.2)

    def test_nothing_moves_when_nothing_is_asked_for(self):
        assert self.placed(10.7, 19.2, Snap.NONE) == (10.7, 19.2)

    def test_edges_that_would_meet_stay(self):
        assert self.placed(12.1, 12.3, Snap.SENTENCE) == (10.0, 12.9)
        assert self.placed(15, 15.8, Snap.SENTENCE) == (15, 15.8)

    def test_without_a_transcript_an_edge_moves_to_the_phrase(self):
        assert self.placed(10.5, 23, Snap.SENTENCE, None) == (9.8, 24.3)

    def test_the_end_of_the_source_is_the_last_place(self):
        start, end = self.placed(100, 150, Snap.NONE)
        assert (start, end) == (100, 120)

    def test_it_is_rated_as_a_chosen_one_is(self):
        (chosen, *_) = choose(unpack(features()), None, Choice(count=1)).moments
        (moment,) = place(unpack(features()), None, chosen.start, chosen.end, Snap.NONE).moments
        assert moment.score == pytest.approx(chosen.score, abs=0.2)
        assert moment.kind == chosen.kind
