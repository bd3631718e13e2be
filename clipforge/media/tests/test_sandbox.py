"""The child process: its limits bite, its ends are told apart, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clipforge.media import (
    Aspect,
    ErrorCode,
    Limits,
    MediaError,
    RenderSpec,
    launcher,
    operations,
    sandbox,
)
from clipforge.media.tests.samples import (
    make_video,
    media_child,
    media_children,
    session_of,
    started_with,
    wait_until,
)

# Many seconds of work on any machine: enlarged to 1080x1920, where the encoder is slow.
LONG = RenderSpec(start=0, end=20, aspect=Aspect.VERTICAL, resolution=1080)
SMALL = RenderSpec(start=0, end=20, aspect=Aspect.VERTICAL, resolution=180)
BRIEF = RenderSpec(start=0, end=1, aspect=Aspect.VERTICAL, resolution=180)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("sandbox") / "video.mp4", seconds=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of results. Tests assert its content."""
    path = tmp_path / "results"
    path.mkdir()
    return path


class Onlooker:
    """A `should_stop` that acts once, as soon as ffmpeg runs, and then returns `stop`.

    It remembers the child, to tell afterwards whether anything of it is left.
    """

    def __init__(self, act=lambda _child: None, *, stop: bool = False) -> None:
        self.child = 0
        self._act = act
        self._stop = stop
        self._acted = False

    def __call__(self) -> bool:
        if not self.child and (started := media_children(os.getpid())):
            (self.child,) = started
        if not self._acted and self.child and ffmpeg_runs(self.child):
            self._acted = True
            self._act(self.child)
        return self._stop and self._acted

    def is_gone(self) -> bool:
        return bool(self.child) and not session_of(self.child)


def ffmpeg_runs(child: int) -> bool:
    return any(is_ffmpeg(command) for command in session_of(child).values())


def is_ffmpeg(command: str) -> bool:
    return "-filter_threads" in command and "launcher.py" not in command


def render_fails(video, folder, *, limits=operations.DEFAULT_LIMITS, spec=LONG, **callbacks):
    """Render, expect a refusal, and that nothing came of it. Returns the error."""
    with pytest.raises(MediaError) as caught:
        operations.render(video, folder / "clip.mp4", spec, limits=limits, **callbacks)
    assert list(folder.iterdir()) == []
    return caught.value


class TestLimits:
    def test_wall_clock(self, video, folder):
        onlooker = Onlooker()
        limits = Limits(wall_seconds=3)  # more than until it is first asked whether to stop
        error = render_fails(video, folder, limits=limits, should_stop=onlooker)
        assert error.code is ErrorCode.TIMED_OUT
        assert onlooker.is_gone()

    def test_cpu_of_ffmpeg(self, video, folder):
        error = render_fails(video, folder, limits=Limits(cpu_seconds=1))
        assert error.code is ErrorCode.TIMED_OUT

    def test_memory_of_ffmpeg(self, video, folder):
        error = render_fails(video, folder, limits=Limits(memory_bytes=500 << 20))
        assert error.code is ErrorCode.OUT_OF_MEMORY

    def test_memory_of_the_child_itself(self, video):
        with pytest.raises(MediaError) as caught:
            operations.probe(video, limits=Limits(memory_bytes=60 << 20))
        assert caught.value.code is ErrorCode.OUT_OF_MEMORY

    def test_size_of_the_output(self, video, folder):
        error = render_fails(video, folder, limits=Limits(output_bytes=50_000), spec=SMALL)
        assert error.code is ErrorCode.OUTPUT_TOO_LARGE

    @pytest.mark.parametrize("start", ["os.fork()", "os.posix_spawn('/bin/true', ['true'], {})"])
    def test_processes_of_what_ffmpeg_may_become(self, start):
        """A program launched in place of ffmpeg can start threads, and no process."""
        code = "import os, threading as t; f = t.Thread(); f.start(); f.join(); print('threads')"
        program = [sys.executable, "-c", f"{code}; {start}; print('and processes')"]
        said = subprocess.run(launcher.wrap(program), capture_output=True, text=True, check=False)
        assert said.stdout == "threads\n"
        assert "Resource temporarily unavailable" in said.stderr

    def test_processes_of_a_probe(self, video, monkeypatch):
        code = (
            "import os; from clipforge.media import probing; probing.probe = lambda *_: os.fork()"
        )
        monkeypatch.setattr(sandbox, "_start", started_with(code))
        with pytest.raises(MediaError) as caught:
            operations.probe(video)
        assert "BlockingIOError: [Errno 11]" in caught.value.__notes__[0]

    def test_they_hold_for_ffmpeg_too(self, video, folder):
        found: dict[str, str] = {}
        niceness = []

        def look(child: int) -> None:
            (process,) = (p for p, command in session_of(child).items() if is_ffmpeg(command))
            for line in Path(f"/proc/{process}/limits").read_text().splitlines():
                found[line[:26].strip()] = line[26:].split()[0]
            niceness.append(os.getpriority(os.PRIO_PROCESS, process))
            status = Path(f"/proc/{process}/status").read_text()
            found["filter"] = status.partition("Seccomp:")[2].split()[0]
            raise InterruptedError

        with pytest.raises(InterruptedError):
            operations.render(video, folder / "clip.mp4", LONG, should_stop=Onlooker(look))
        assert found["Max open files"] == "64"
        assert found["Max core file size"] == "0"
        assert found["Max address space"] == str(3 << 30)
        assert found["Max file size"] == str(2 << 30)
        assert found["Max cpu time"] == "7200"
        assert found["filter"] == "2"
        assert niceness == [min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)]


class TestStopping:
    def test_it_is_stopped_when_asked_and_leaves_nothing(self, video, folder):
        onlooker = Onlooker(stop=True)
        error = render_fails(video, folder, should_stop=onlooker)
        assert error.code is ErrorCode.CANCELLED
        assert onlooker.is_gone()

    def test_it_is_not_begun_when_it_should_not_be(self, video, folder):
        error = render_fails(video, folder, should_stop=lambda: True)
        assert error.code is ErrorCode.CANCELLED

    @pytest.mark.parametrize("exception", [ZeroDivisionError, KeyboardInterrupt])
    def test_an_exception_while_asked_whether_to_stop_ends_it(self, video, folder, exception):
        def fail(_child: int) -> None:
            raise exception

        onlooker = Onlooker(fail)
        with pytest.raises(exception):
            operations.render(video, folder / "clip.mp4", LONG, should_stop=onlooker)
        assert onlooker.is_gone()
        assert list(folder.iterdir()) == []

    def test_so_does_one_in_the_report_of_progress(self, video, folder):
        def fail(_stage: str, _fraction: float) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            operations.render(video, folder / "clip.mp4", LONG, on_progress=fail)
        assert list(folder.iterdir()) == []

    def test_a_clip_that_was_there_before_survives_a_failure(self, video, folder):
        target = folder / "clip.mp4"
        target.write_bytes(b"the clip of yesterday")
        with pytest.raises(MediaError):
            operations.render(video, target, SMALL, limits=Limits(output_bytes=50_000))
        assert list(folder.iterdir()) == [target]
        assert target.read_bytes() == b"the clip of yesterday"

    def test_nothing_outlives_a_worker_that_is_killed(self, video, folder):
        worker = start_worker(video, folder)
        try:
            wait_until(lambda: renders(worker.pid))
            child = media_child(worker.pid)
            assert len(session_of(child)) == 2
        finally:
            worker.kill()
            worker.wait()
        wait_until(lambda: not session_of(child))
        assert not (folder / "clip.mp4").exists()


def start_worker(video: Path, folder: Path) -> subprocess.Popen[bytes]:
    """A process of its own that renders, from a thread that is not its first."""
    code = f"""
import threading
from pathlib import Path
from clipforge.media import Aspect, RenderSpec, operations

work = (Path({str(video)!r}), Path({str(folder / "clip.mp4")!r}), {LONG!r})
threading.Thread(target=operations.render, args=work).start()
""".replace(repr(LONG), f"RenderSpec(0, {LONG.end}, Aspect.VERTICAL, {LONG.resolution})")
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(sandbox.PACKAGE_ROOT)},
    )


def renders(worker: int) -> bool:
    try:
        return ffmpeg_runs(media_child(worker))
    except ValueError:  # no child yet
        return False


class TestHowItEnds:
    @pytest.mark.parametrize(
        ("number", "code"),
        [
            (signal.SIGSEGV, ErrorCode.DECODER_CRASHED),
            (signal.SIGABRT, ErrorCode.DECODER_CRASHED),
            (signal.SIGXCPU, ErrorCode.TIMED_OUT),
            (signal.SIGKILL, ErrorCode.OUT_OF_MEMORY),
        ],
    )
    def test_a_child_killed_by_a_signal(self, video, folder, number, code):
        onlooker = Onlooker(lambda child: os.kill(child, number))
        assert render_fails(video, folder, should_stop=onlooker).code is code
        assert onlooker.is_gone()

    def test_an_ffmpeg_that_crashes(self, video, folder):
        def crash(child: int) -> None:
            for process, command in session_of(child).items():
                if is_ffmpeg(command):
                    os.kill(process, signal.SIGSEGV)

        error = render_fails(video, folder, should_stop=Onlooker(crash))
        assert error.code is ErrorCode.DECODER_CRASHED

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            ("Conversion failed! No space left on device", ErrorCode.STORAGE_FULL),
            ("OSError: [Errno 122] Disk quota exceeded", ErrorCode.STORAGE_FULL),
            ("x264 [error]: malloc of size 7186688 failed", ErrorCode.OUT_OF_MEMORY),
            ("OpenBLAS error: Memory allocation still failed", ErrorCode.OUT_OF_MEMORY),
            ("terminate called: std::bad_alloc", ErrorCode.OUT_OF_MEMORY),
            ("IndexError: list index out of range", None),
        ],
    )
    def test_its_last_words_tell_the_cause(self, words, code):
        assert sandbox.exit_cause(1, words) is code

    def test_a_programming_error_is_a_crash_with_its_traceback_as_a_note(self):
        with pytest.raises(MediaError) as caught:
            sandbox.run("no such operation", {}, limits=Limits())
        assert caught.value.code is ErrorCode.DECODER_CRASHED
        assert "KeyError: 'no such operation'" in caught.value.__notes__[0]


class TestAnswers:
    """Responses of a child that a crafted video has taken over."""

    @pytest.mark.parametrize(
        "line",
        [
            b"not JSON",
            b"[" * 100_000,
            b'{"progress": 1}',
            b'{"progress": ["render", NaN]}',
            b'{"result": {"duration": Infinity}}',
            b"7",
        ],
    )
    def test_nonsense_is_a_crashed_decoder(self, line):
        answer = sandbox.Response(None)
        with pytest.raises(MediaError) as caught:
            answer.take(line)
        assert caught.value.code is ErrorCode.DECODER_CRASHED

    def test_a_line_without_end_is_not_collected(self):
        lines = sandbox.LineSplitter(lambda _line: None)
        lines.feed(b"x" * sandbox.MAX_LINE_BYTES)
        with pytest.raises(MediaError):
            lines.feed(b"x")

    def test_only_the_end_of_stderr_is_kept(self):
        tail = sandbox.Tail()
        for _ in range(1000):
            tail.feed(b"noise " * 1000)
        tail.feed(b"the reason")
        assert tail.text().endswith("noise the reason")
        assert len(tail.text()) <= sandbox.STDERR_TAIL_BYTES

    def test_an_unknown_error_code_is_a_crashed_decoder(self):
        answer = sandbox.Response(None)
        answer.take(b'{"error": ["made_up", "Pay here"]}')
        with pytest.raises(MediaError) as caught:
            answer.result(0, "")
        assert caught.value.code is ErrorCode.DECODER_CRASHED


class TestSurroundings:
    def test_the_child_and_ffmpeg_see_no_secret(self, video, folder, monkeypatch):
        monkeypatch.setenv("DATABASE_URL", "postgres://secret")
        seen: list[bytes] = []

        def look(child: int) -> None:
            seen.extend(Path(f"/proc/{p}/environ").read_bytes() for p in session_of(child))
            raise InterruptedError

        with pytest.raises(InterruptedError):
            operations.render(video, folder / "clip.mp4", LONG, should_stop=Onlooker(look))
        assert len(seen) == 2
        assert not any(b"secret" in environment for environment in seen)

    def test_progress_rises_from_0_to_1(self, video, folder):
        seen: list[tuple[str, float]] = []
        operations.render(
            video,
            folder / "clip.mp4",
            BRIEF,
            on_progress=lambda stage, fraction: seen.append((stage, fraction)),
        )
        stages = ["framing", "render"]
        assert list(dict.fromkeys(stage for stage, _ in seen)) == stages
        assert seen == sorted(set(seen), key=lambda said: (stages.index(said[0]), said[1]))
        for stage in stages:
            fractions = [fraction for at, fraction in seen if at == stage]
            assert (fractions[0], fractions[-1]) == (0.0, 1.0)

    def test_the_parent_loads_neither_numpy_nor_a_decoder(self):
        code = "import sys, clipforge.media; print(sorted({'numpy', 'av'} & set(sys.modules)))"
        said = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(sandbox.PACKAGE_ROOT)},
        )
        assert said.stdout == "[]\n"
