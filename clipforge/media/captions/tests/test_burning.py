"""Burned-in captions, by the pixels that libass draws."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from clipforge.media import Aspect, RenderSpec, operations
from clipforge.media.captions import burning, fonts
from clipforge.media.captions.tests.drawn import Picture, drawn
from clipforge.media.captions.tests.spoken import at, spoken
from clipforge.media.contracts import (
    CaptionMode,
    CaptionPosition,
    Captions,
    CaptionSize,
    ErrorCode,
    FaceBox,
    MediaError,
)
from clipforge.media.tests.samples import make_video, run_ffmpeg

VERTICAL, SQUARE, WIDE = (540, 960), (540, 540), (960, 540)
WHITE, BLACK, YELLOW = (255, 255, 255), (0, 0, 0), (255, 214, 10)
SENTENCE = "Ask not what your country can do for you; ask what you can do for your country."


def plain(*sentences: str, language: str = "en") -> Captions:
    return Captions(spoken(*sentences, language=language), CaptionMode.PLAIN)


def styled(captions: Captions, mode: CaptionMode) -> Captions:
    return Captions(captions.transcript, mode)


def center(where: np.ndarray) -> float:
    """The mean column, as a share of the width."""
    return float(np.nonzero(where)[1].mean() / where.shape[1])


def test_a_caption_is_in_the_pictures_at_its_time_and_absent_outside(tmp_path: Path) -> None:
    captions = Captions(at(("Now", 2.0, 2.4)), CaptionMode.PLAIN)
    assert not drawn(captions, tmp_path, at=1.98).ink.any()
    shown = drawn(captions, tmp_path, at=2.0)
    assert shown.near(WHITE).any()
    assert shown.near(BLACK).any()
    assert drawn(captions, tmp_path, at=2.98).ink.any()
    assert not drawn(captions, tmp_path, at=3.0).ink.any()


@pytest.mark.parametrize("size", list(CaptionSize))
@pytest.mark.parametrize("position", list(CaptionPosition))
@pytest.mark.parametrize(
    ("shape", "free"),
    [
        (VERTICAL, (0.12, 0.14, 0.24)),
        (SQUARE, (0.07, 0.08, 0.08)),
        (WIDE, (0.10, 0.07, 0.07)),
    ],
)
def test_captions_stay_inside_the_safe_area_of_every_shape(
    tmp_path: Path,
    shape: tuple[int, int],
    free: tuple[float, float, float],
    position: CaptionPosition,
    size: CaptionSize,
) -> None:
    captions = Captions(spoken(SENTENCE).between(0, 9), CaptionMode.PLAIN, position, size)
    picture = drawn(captions, tmp_path, at=1.0, size=shape)
    side, top, bottom = free
    outline = 0.01  # which may reach over the edge
    assert side - outline <= picture.columns[0] < picture.columns[1] <= 1 - side + outline
    assert top - outline <= picture.rows[0] < picture.rows[1] <= 1 - bottom + outline
    assert picture.lines <= 2
    middle = sum(picture.rows) / 2
    assert (middle < 0.35, 0.35 <= middle <= 0.65, middle > 0.6) == (
        position is CaptionPosition.TOP,
        position is CaptionPosition.MIDDLE,
        position is CaptionPosition.BOTTOM,
    )


def test_larger_captions_are_higher(tmp_path: Path) -> None:
    heights = []
    for size in CaptionSize:
        captions = Captions(at(("Hx", 0.0, 1.0)), CaptionMode.PLAIN, size=size)
        rows = drawn(captions, tmp_path, at=0.5).rows
        heights.append(round((rows[1] - rows[0]) * 960))
    assert heights == sorted(set(heights))


def test_a_word_wider_than_the_line_is_drawn_smaller_and_whole(tmp_path: Path) -> None:
    picture = drawn(plain("W" * 64), tmp_path, at=0.1)
    assert 0.11 <= picture.columns[0] < picture.columns[1] <= 0.89
    assert picture.columns[1] - picture.columns[0] > 0.7
    assert picture.lines == 1


def test_the_spoken_word_alone_has_the_highlight_and_nothing_moves(tmp_path: Path) -> None:
    captions = styled(plain("one two six"), CaptionMode.BOLD_WORD)
    places, edges = [], []
    for moment in (0.1, 0.4, 0.7):
        picture = drawn(captions, tmp_path, at=moment, size=WIDE)
        places.append(center(picture.near(YELLOW)))
        edges.append(picture.rows)
    assert places == sorted(places)
    assert places[0] < 0.48 < places[1] < 0.52 < places[2]
    assert len(set(edges)) == 1


def test_karaoke_colours_words_one_after_the_other_and_keeps_them(tmp_path: Path) -> None:
    captions = styled(plain("one two six"), CaptionMode.KARAOKE)
    colored = [
        int(drawn(captions, tmp_path, at=moment, size=WIDE).near(YELLOW).sum())
        for moment in (0.1, 0.4, 0.7)
    ]
    assert 0 < colored[0] < colored[1] < colored[2]
    last = drawn(captions, tmp_path, at=0.7, size=WIDE)
    assert not last.near(WHITE).any()


def test_karaoke_waits_for_a_word_that_begins_later_in_its_cue(tmp_path: Path) -> None:
    captions = Captions(at(("one", 0.0, 0.5), ("two", 1.2, 1.8)), CaptionMode.KARAOKE)
    before = drawn(captions, tmp_path, at=1.18, size=WIDE)
    after = drawn(captions, tmp_path, at=1.2, size=WIDE)
    assert before.near(WHITE).any()
    assert not after.near(WHITE).any()


def test_chosen_colours_are_drawn_and_dark_text_has_a_white_outline(tmp_path: Path) -> None:
    captions = Captions(at(("Now", 0.0, 1.0)), CaptionMode.PLAIN, color="#000080")
    picture = drawn(captions, tmp_path, at=0.5)
    assert picture.near((0, 0, 128)).any()
    assert picture.near(WHITE).any()


@pytest.mark.parametrize("color", ["red", "#fff", "#12345g", "#ffffff}", "&H00FFFFFF", "#ffffff\n"])
def test_what_is_no_colour_is_refused(color: str) -> None:
    with pytest.raises(ValueError, match="not a colour"):
        Captions(at(("Now", 0.0, 1.0)), CaptionMode.PLAIN, color=color)


HOSTILE = [
    r"{\an8}up",
    r"{\alpha&HFF&}unseen",
    r"{\pos(0,0)}moved",
    r"{\fs300}huge",
    r"{\p1}m 0 0 l 99 0",
    r"one\Ntwo",
    r"one\ntwo\hthree",
    r"\{\an8\}",
    "%{pts}:x=0:text='a'",
    "';[in]drawbox=t=fill[out]",
    "one\ntwo\r\n\0Dialogue: 9,0:00:00.00,0:00:09.00,Caption,,0,0,0,,{\\an8}three",
    "<b>bold</b>&lt;",
]


@pytest.mark.parametrize("word", HOSTILE)
def test_tags_and_syntax_in_the_words_are_drawn_as_text(tmp_path: Path, word: str) -> None:
    captions = Captions(at((word, 0.0, 3.0)), CaptionMode.PLAIN)
    picture = drawn(captions, tmp_path, at=0.5, size=WIDE)
    assert picture.near(WHITE).any()
    assert picture.lines == 1, "a break or a position was taken from the words"
    assert picture.rows[0] > 0.75
    assert "not found" not in picture.said


def test_a_backslash_costs_nothing_but_itself(tmp_path: Path) -> None:
    """The joiner after it is not drawn: the same text without a meaning has the same width."""
    harmless = Captions(at(("a\\xb", 0.0, 1.0)), CaptionMode.PLAIN)
    breaking = Captions(at(("a\\Nb", 0.0, 1.0)), CaptionMode.PLAIN)
    one = drawn(harmless, tmp_path, at=0.5, size=WIDE)
    other = drawn(breaking, tmp_path, at=0.5, size=WIDE)
    wider = (other.columns[1] - other.columns[0]) - (one.columns[1] - one.columns[0])
    assert 0 < wider < 0.01  # N against x
    assert other.lines == 1


SCRIPTS = {
    "ar": "مرحبا بالعالم، كيف حالك؟",
    "bg": "Здравей, свят!",
    "bn": "ওহে বিশ্ব",
    "el": "Γειά σου Κόσμε",  # noqa: RUF001
    "fa": "سلام دنیا، چطوری؟",
    "gu": "હેલો વર્લ્ડ",
    "he": "שלום עולם (test) 123.",
    "hi": "नमस्ते दुनिया, क्षत्रिय",
    "hy": "Բարեւ աշխարհ",
    "ja": "日本語の字幕、カタカナ。",
    "ka": "გამარჯობა მსოფლიო",
    "km": "សួស្តីពិភពលោក",
    "kn": "ಹಲೋ ವರ್ಲ್ಡ್",
    "ko": "안녕하세요 세계",
    "lo": "ສະບາຍດີຊາວໂລກ",
    "ml": "ഹലോ വേൾഡ്",
    "my": "မင်္ဂလာပါကမ္ဘာ",
    "pa": "ਸਤ ਸ੍ਰੀ ਅਕਾਲ",
    "pl": "Zażółć gęślą jaźń",
    "si": "හෙලෝ වර්ල්ඩ්",
    "ta": "வணக்கம் உலகம்",
    "te": "హలో వరల్డ్",
    "th": "สวัสดีชาวโลก",
    "tr": "Merhaba dünya, ığüşöç",
    "uk": "Привіт, світе! Ґєї",
    "ur": "ہیلو دنیا",
    "vi": "Chào thế giới, tiếng Việt",
    "yi": "העלא וועלט",
    "zh": "你好，世界：简体与繁體。",  # noqa: RUF001
    "am": "ሰላም ልዑል",
    "en": "naïve café — “quotes”… €5 ½ ♪ 😀",
}


@pytest.mark.parametrize("language", sorted(SCRIPTS))
def test_every_script_with_a_font_is_drawn_without_an_empty_box(
    tmp_path: Path, language: str
) -> None:
    """libass says when it looks for a glyph elsewhere, and draws a box when it finds none."""
    picture = drawn(plain(SCRIPTS[language], language=language), tmp_path, at=0.4)
    assert "fontselect" in picture.said
    assert "not found" not in picture.said
    assert "failed to find" not in picture.said
    assert picture.near(WHITE).sum() > 200
    assert picture.lines <= 2 or language in {"th", "lo", "km", "my", "si", "te", "kn"}


def test_letters_that_no_font_has_are_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as refused:
        drawn(plain("ok ᚠᚢᚦ"), tmp_path, at=0.1)
    assert refused.value.code is ErrorCode.BAD_CAPTIONS
    assert refused.value.message == (
        "Captions cannot be drawn in this script: there is no font with ᚠᚢᚦ. "
        "Export without captions."
    )


def test_a_symbol_that_no_font_has_is_left_out(tmp_path: Path) -> None:
    with_it = drawn(plain("ok \U0001fbb0"), tmp_path, at=0.1)
    without = drawn(plain("ok"), tmp_path, at=0.1)
    assert (with_it.ink == without.ink).all()


def test_right_to_left_words_are_spoken_from_the_right(tmp_path: Path) -> None:
    captions = styled(plain("שלום עולם טוב", language="he"), CaptionMode.BOLD_WORD)
    places = [
        center(drawn(captions, tmp_path, at=moment, size=WIDE).near(YELLOW))
        for moment in (0.1, 0.4, 0.7)
    ]
    assert places == sorted(places, reverse=True)


def test_the_full_stop_of_a_right_to_left_line_is_at_its_left(tmp_path: Path) -> None:
    bare = drawn(plain("שלום", language="he"), tmp_path, at=0.1, size=WIDE)
    ended = drawn(plain("שלום.", language="he"), tmp_path, at=0.1, size=WIDE)
    # Both are centred: the letters move to the right by half of what the stop takes at the left.
    grown = (ended.columns[1] - bare.columns[1]) * 960
    assert grown > 2
    low = ended.ink[int(ended.rows[1] * 540) - 6]
    assert np.flatnonzero(low)[0] / 960 == pytest.approx(ended.columns[0], abs=0.004)


def test_the_same_character_is_drawn_as_each_language_writes_it(tmp_path: Path) -> None:
    japanese = drawn(plain("骨直", language="ja"), tmp_path, at=0.1)
    chinese = drawn(plain("骨直", language="zh"), tmp_path, at=0.1)
    assert (japanese.ink != chinese.ink).any()


def test_no_font_of_the_machine_is_used(tmp_path: Path) -> None:
    """fontconfig is given no folder, so what libass finds is what we named."""
    said = drawn(plain("Hello"), tmp_path, at=0.1).said
    chosen = [line for line in said.splitlines() if "fontselect" in line]
    assert chosen
    assert all("-> Roboto-Bold" in line for line in chosen)
    assert "Failed to load fontconfig fonts" in said


def test_fonts_and_subtitles_that_a_file_carries_change_nothing(tmp_path: Path) -> None:
    """A font of the name that we draw with, which libass would prefer, and a style that names files."""
    plain_film, odd = make_video(tmp_path / "v.mkv", seconds=1), tmp_path / "odd.mkv"
    (run,) = fonts.runs("Hi", "ja")
    font = tmp_path / "Roboto-Bold.ttf"
    font.write_bytes(fonts.runs("日本", "ja")[0].font.path.read_bytes())
    (tmp_path / "s.ass").write_text(
        "[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
        f"Style: Default,/etc/passwd,90\nStyle: Other,{run.font.family},90\n[Events]\n"
        "Format: Layer, Start, End, Style, Text\nDialogue: 0,0:00:00.00,0:00:09.00,Other,BIG\n"
    )
    attached = ("-attach", font, "-metadata:s:t", "mimetype=application/x-truetype-font")
    both = ("-i", plain_film, "-i", tmp_path / "s.ass", "-map", "0", "-map", "1", "-c", "copy")
    run_ffmpeg("-v", "error", *both, *attached, odd)
    spec = RenderSpec(0, 1, Aspect.SOURCE, 180, captions=plain("Hello"))
    clips = []
    for source in (plain_film, odd):
        clips.append(tmp_path / f"{source.stem}.mp4")
        operations.render(source, clips[-1], spec)
    with av.open(str(clips[0])) as ours, av.open(str(clips[1])) as theirs:
        for one, other in zip(ours.decode(video=0), theirs.decode(video=0), strict=True):
            assert (one.to_ndarray() == other.to_ndarray()).all()


def test_a_caption_on_a_face_goes_to_the_other_side(tmp_path: Path) -> None:
    captions = plain(SENTENCE)
    low = FaceBox(start=0, end=20, top=0.5, bottom=0.75)
    assert drawn(captions, tmp_path, at=0.5).rows[0] > 0.6
    assert drawn(captions, tmp_path, at=0.5, faces=(low,)).rows[1] < 0.35
    later = FaceBox(start=12, end=20, top=0.5, bottom=0.75)
    assert drawn(captions, tmp_path, at=0.5, faces=(later,)).rows[0] > 0.6


def test_where_faces_are_everywhere_a_caption_stays_where_it_was_asked_for(tmp_path: Path) -> None:
    everywhere = FaceBox(start=0, end=20, top=0, bottom=1)
    assert drawn(plain(SENTENCE), tmp_path, at=0.5, faces=(everywhere,)).rows[0] > 0.6


def test_more_words_than_anyone_says_are_refused() -> None:
    most = 50 + 12 * 10
    burning.require_drawable(spoken(" ".join(["w"] * most), pace=0.05), 0, 10)
    with pytest.raises(MediaError, match=r"171 words within 10\.0 seconds"):
        burning.require_drawable(spoken(" ".join(["w"] * (most + 1)), pace=0.05), 0, 10)


def test_a_word_of_a_megabyte_is_drawn_cut(tmp_path: Path) -> None:
    picture: Picture = drawn(plain("a" * 1_000_000), tmp_path, at=0.1)
    assert picture.lines == 1
    assert picture.columns[1] <= 0.89


def test_without_words_nothing_is_drawn(tmp_path: Path) -> None:
    assert not drawn(plain("\0"), tmp_path, at=0.1).ink.any()
