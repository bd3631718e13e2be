"""Scores from words: hooks, whole thoughts, payoffs, density, titles, in hand-written talk."""

from __future__ import annotations

import numpy as np
import pytest

from clipforge.media.spoken import Spoken
from clipforge.media.wording import shortened, unfilled
from clipforge.media.words.transcript import Sentence, Transcript, Word

WORD = 0.4  # s, with the pause after it


def talk(*sentences: str, language: str = "en", pause: float = 0.6) -> Transcript:
    """Sentences one after the other, from the first second on."""
    spoken, time = [], 1.0
    for text in sentences:
        words = []
        for word in text.split():
            words.append(Word(word, round(time, 2), round(time + WORD - 0.1, 2), 0.9))
            time += WORD
        spoken.append(Sentence(tuple(words)))
        time += pause
    return Transcript(language, tuple(spoken), "hand-written")


def rated(
    transcript: Transcript, first: int = 0, last: int = -1, *keywords: str
) -> dict[str, float]:
    """The aspects of the stretch from one sentence to another."""
    start = transcript.sentences[first].start - 0.2
    end = transcript.sentences[last].end + 0.3
    aspects = Spoken(transcript, keywords).rate(np.array([start]), np.array([end]))
    return {name: round(float(values[0]), 2) for name, values in aspects.items()}


def quoted(transcript: Transcript, *keywords: str) -> dict[str, str]:
    return Spoken(transcript, keywords).quotes(0, 1000)


AFTER = "The house stood by the river."


class TestHooks:
    @pytest.mark.parametrize(
        ("opening", "hook", "reason"),
        [
            ("Was there anybody in the house?", 0.55, "a question"),
            ("Why do birds sing in winter?", 0.55, "a question"),
            ("It cost 40 pounds in town.", 0.35, "a number"),
            ("Ten ships came into harbour.", 0.35, "a number"),
            ("The plan was good, however late.", 0.4, "a contrast"),
            ("Imagine a town without water.", 0.3, "a word to the listener"),
            ("Nobody came back from there.", 0.5, "a strong claim"),
            ("You never forget the first fire.", 0.77, "a strong claim"),
            ("The river ran through the town.", 0.0, "a clear beginning"),
        ],
    )
    def test_each_kind_of_hook_counts_and_is_quoted(self, opening, hook, reason):
        words = talk(opening, AFTER)
        assert rated(words)["hook"] == pytest.approx(hook, abs=0.011)
        assert quoted(words)["hook"] == f"opens with {reason}: “{opening}”"

    def test_a_hook_after_three_seconds_is_none(self):
        assert (
            rated(talk("The river ran slowly through all of the town but nobody saw it."))["hook"]
            == 0
        )

    def test_a_stretch_that_begins_within_a_sentence_has_no_hook(self):
        words = talk("Nobody ever came back from there.", AFTER)
        spoken = Spoken(words)
        at = words.sentences[0].start
        early, late = spoken.rate(np.array([at - 0.2, at + 1.5]), np.array([8.0, 8.0]))["hook"]
        assert early > 0.4
        assert late == 0

    def test_the_same_line_is_no_hook_in_the_middle(self):
        assert rated(talk(AFTER, "Nobody came back from there."), 0)["hook"] == 0


class TestWholeThoughts:
    @pytest.mark.parametrize(
        "opening",
        [
            "And then the ship went down.",
            "He went down to the river.",
            "That's why the ship went down.",
            "Which is the end of it.",
            "It's a long way home.",
            "So the ship went down.",
        ],
    )
    def test_a_beginning_that_refers_back_is_not_whole(self, opening):
        assert rated(talk(opening, AFTER))["complete"] == 0.25

    def test_a_beginning_that_stands_alone_is_whole(self):
        assert rated(talk("The ship went down.", AFTER))["complete"] == 1

    @pytest.mark.parametrize("word", ["Theory", "Hero", "Andes", "Island", "Sofas", "Items"])
    def test_a_word_that_only_begins_like_one_is_no_reference(self, word):
        assert rated(talk(f"{word} make people rich.", AFTER))["complete"] == 1

    def test_an_edge_within_a_sentence_takes_most_of_it(self):
        words = talk("The ship went down in the night of the storm.", AFTER)
        starts, ends = np.array([0.8, 2.5]), np.array([3.0, words.sentences[-1].end])
        assert Spoken(words).rate(starts, ends)["complete"].tolist() == [0.4, 0.4]


class TestPayoffs:
    @pytest.mark.parametrize(
        ("ending", "least"),
        [
            ("And that's why the bridge fell.", 0.55),
            ("In the end the water won.", 0.55),
            ("The whole river came through!", 0.45),
            ("We lost.", 0.45),
        ],
    )
    def test_a_conclusion_is_a_payoff(self, ending, least):
        words = talk("The bridge stood for over ninety years in wind and rain.", ending)
        plain = talk("The bridge stood for over ninety years in wind and rain.", f"{AFTER} {AFTER}")
        assert rated(words)["payoff"] >= least > rated(plain)["payoff"]
        assert quoted(words)["payoff"] == f"ends on “{ending}”"

    def test_an_answer_is_a_payoff(self):
        asked = talk(
            "Why did the bridge fall?", "The steel of the second arch was thin and old there."
        )
        told = talk(
            "The bridge fell at night.", "The steel of the second arch was thin and old there."
        )
        assert rated(asked)["payoff"] > rated(told)["payoff"] == 0.25

    def test_a_stretch_that_ends_within_a_sentence_has_none(self):
        words = talk(AFTER, "In the end the water won over all of the stone there.")
        rates = Spoken(words).rate(np.array([0.8]), np.array([words.sentences[1].end - 2]))
        assert rates["payoff"] == 0


class TestDensity:
    def test_new_words_count_and_repeated_ones_do_not(self):
        dense = talk("Copper pipes corrode where acidic groundwater meets limestone foundations.")
        thin = talk("Well, you know, it is like, it is what it is, you know.")
        again = talk(*["Copper pipes corrode."] * 4)
        assert rated(dense)["density"] == 1
        assert rated(thin)["density"] == 0
        assert rated(again)["density"] < 0.3

    def test_without_pauses_it_is_denser(self):
        lines = ["Copper pipes corrode in water."] * 2 + ["Iron gates rust near harbours."]
        assert rated(talk(*lines, pause=4))["density"] < rated(talk(*lines, pause=0.2))["density"]


class TestKeywords:
    WORDS = talk("The founders raised funding in May.", "Their first customer paid late.", AFTER)

    def test_moments_that_speak_of_them_are_rated_for_it(self):
        assert rated(self.WORDS, 0, 1, "funding", "first customer")["keywords"] == 1
        assert rated(self.WORDS, 0, 0, "funding", "first customer")["keywords"] == 0.5
        assert rated(self.WORDS, 2, 2, "funding", "first customer")["keywords"] == 0

    @pytest.mark.parametrize(
        "keyword", ["FUNDING", "Founder", "raised  funding", "customer", "may"]
    )
    def test_case_and_endings_do_not_matter(self, keyword):
        assert rated(self.WORDS, 0, 1, keyword)["keywords"] == 0.5

    @pytest.mark.parametrize("keyword", ["fun", "unding", "", "  ", "!!", "customer first"])
    def test_what_is_not_said_is_not_found(self, keyword):
        assert rated(self.WORDS, 0, 2, keyword)["keywords"] == 0

    def test_they_are_quoted(self):
        assert quoted(self.WORDS, "funding", "cats")["keywords"] == "speaks of “funding”"

    def test_without_keywords_there_is_no_such_score(self):
        assert "keywords" not in rated(self.WORDS)


class TestTitles:
    WORDS = talk(
        "So, you know, welcome back everybody.",
        "Copper pipes corrode in acidic groundwater.",
        "And we fixed it.",
    )

    def test_the_most_telling_sentence_is_the_title(self):
        assert Spoken(self.WORDS).title(0, 100) == "Copper pipes corrode in acidic groundwater"

    def test_a_title_is_short_and_ends_at_a_word(self):
        words = talk("Hydroelectric dams " * 20 + "silt.")
        title = Spoken(words).title(0, 100)
        assert len(title) <= 70
        assert title.endswith("…")

    def test_the_line_to_quote_is_the_best_hook_near_the_beginning(self):
        words = talk("Good morning.", "Why do copper pipes corrode?", *[AFTER] * 6)
        assert Spoken(words).hook(0, 40) == "Why do copper pipes corrode?"

    def test_where_nothing_is_said_there_is_neither(self):
        spoken = Spoken(self.WORDS)
        assert (spoken.title(500, 600), spoken.hook(500, 600), spoken.quotes(500, 600)) == (
            "",
            "",
            {},
        )

    def test_fillers_are_left_out_of_what_is_quoted(self):
        assert unfilled("And so, um, well the ship sank.") == "The ship sank."
        assert unfilled("so") == "So"
        assert shortened("one two three", 9) == "one two…"


class TestRepeated:
    def test_the_same_words_again_are_known(self):
        line = "The captain ordered every lantern out before midnight."
        words = talk(line, AFTER, line, "Nobody answered from the other ship.")
        first, last = words.sentences[0], words.sentences[2]
        again = Spoken(words).said_again(
            first.start, first.end, np.array([last.start, 30.0]), np.array([last.end, 40.0])
        )
        assert again[0] == 1
        assert again[1] == 0


class TestOtherLanguages:
    def test_a_question_and_a_number_are_understood_in_all(self):
        assert rated(talk("Warum singen Vögel?", AFTER, language="de"))["hook"] == 0.55
        assert rated(talk("Es waren 40 Schiffe.", AFTER, language="de"))["hook"] == 0.35

    def test_english_words_are_looked_for_in_english_alone(self):
        assert rated(talk("He also was most.", AFTER, language="de"))["complete"] == 1
        assert rated(talk("Never only most.", AFTER, language="nl"))["hook"] == 0


class TestBounds:
    def test_no_words_at_all(self):
        spoken = Spoken(Transcript("en", (), "none"))
        assert not spoken
        assert (spoken.title(0, 9), spoken.hook(0, 9), spoken.quotes(0, 9)) == ("", "", {})

    def test_hostile_words_are_rated_within_bounds_and_quoted_short(self):
        texts = ["{\\pos(0)}" * 50, "\u202e\u0000'; DROP TABLE", "?" * 500, "ﬃ", "9" * 400, "…", ""]
        sentences = tuple(
            Sentence((Word(text, float(n), float(n), 2.0), Word("a" * 9999, n + 0.5, n + 0.5, -1)))
            for n, text in enumerate(texts)
        )
        spoken = Spoken(Transcript("en", sentences, "x"), ["{\\pos(0)}", "9"])
        random = np.random.default_rng(0)
        starts = random.uniform(-5, 10, 300)
        for values in spoken.rate(starts, starts + random.uniform(0, 9, 300)).values():
            assert np.isfinite(values).all()
            assert (values >= 0).all()
            assert (values <= 1).all()
        assert len(spoken.title(0, 9)) <= 70
        assert len(spoken.hook(0, 9)) <= 120
        assert all(len(text) < 400 for text in spoken.quotes(0, 9).values())
