"""Streams over real sockets: files of a web server, live ones, and lost ones."""

import functools
import http.server
import logging
import socket
import socketserver
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest

from qepose_tf.images import video, video_opening
from qepose_tf.images.video import Video, VideoSpan
from tests.images.drawn_videos import drawn_frame, write_video
from tests.images.rtsp_server import Camera
from tests.images.test_video import number_of


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class Live(Quiet):
    """Sends a part of a transport stream and then ends, without saying how long."""

    content = b""
    pause = 0.0

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        size = -(-len(self.content) // 10)
        for first in range(0, len(self.content), size):
            self.wfile.write(self.content[first : first + size])
            time.sleep(self.pause)


@pytest.fixture
def serve():
    servers = []

    def start(handler):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_file_of_a_web_server_is_read_whole_however_slow_the_reader_is(
    tmp_path, serve
):
    write_video(tmp_path / "a.mp4", 40, movflags="faststart")
    url = serve(functools.partial(Quiet, directory=str(tmp_path)))
    source = Video(f"{url}/a.mp4")
    numbers = []
    for frame in source.frames():
        time.sleep(0.01)
        numbers.append(frame.number)
    assert numbers == list(range(40)) and not source.live and source.dropped == 0
    with pytest.raises(OSError, match="b.mp4: cannot read the stream: .*404"):
        list(Video(f"{url}/b.mp4").frames())


def test_a_live_stream_drops_what_nobody_has_time_for_and_begins_at_0(tmp_path, serve):
    path = write_video(tmp_path / "a.ts", 90)
    handler = type("Handler", (Live,), {"content": path.read_bytes()})
    source = Video(f"{serve(handler)}/live")
    frames = []
    for frame in source.frames():
        time.sleep(0.03)
        assert number_of(frame.pixels()) == frame.number % 12
        frames.append(frame)
    assert source.live and source.lost == 0
    assert frames[0].seconds >= 0 and len(frames) + source.dropped == 90
    assert source.dropped > 0
    for frame in frames:
        assert abs(frame.seconds - frame.number / 30) < 2e-3
    with pytest.raises(OSError, match="its pixels are gone"):
        frames[0].release()
        frames[0].pixels()


def test_a_live_stream_is_left_at_its_stop(tmp_path, serve):
    path = write_video(tmp_path / "a.ts", 90)
    handler = type("Handler", (Live,), {"content": path.read_bytes(), "pause": 0.05})
    source = Video(f"{serve(handler)}/live", VideoSpan(every=2, start=0.5, stop=1.5))
    frames = list(source.frames())
    assert 0.5 <= frames[0].seconds and frames[-1].seconds < 1.5
    assert {frame.number % 2 for frame in frames} == {frames[0].number % 2}


def send(port, count):
    """Sends drawn frames as a transport stream over UDP, at their pace."""
    target = f"udp://127.0.0.1:{port}?pkt_size=1316"
    with av.open(target, "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=30, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size = 3
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(drawn_frame(number, 96, 64))
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
            time.sleep(1 / 30)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.slow
def test_a_lost_stream_is_opened_again_and_then_given_up(monkeypatch, caplog):
    monkeypatch.setattr(video_opening, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(video, "_PAUSES_S", (0.1, 0.1, 0.1))
    port = free_port()

    def twice():
        send(port, 60)
        time.sleep(2.0)
        send(port, 60)

    sender = threading.Thread(target=twice)
    sender.start()
    source = Video(f"udp://127.0.0.1:{port}")
    with caplog.at_level(logging.WARNING):
        frames = list(source.frames())
    sender.join()
    assert source.lost == 2
    numbers = [frame.number for frame in frames]
    seconds = [frame.seconds for frame in frames]
    assert numbers == sorted(set(numbers)) and seconds == sorted(seconds)
    # The break is part of the time.
    assert np.diff(seconds).max() > 1.0 and 3.0 < seconds[-1] < 12.0
    assert "it is opened again" in caplog.text and "it is given up" in caplog.text


@pytest.fixture
def camera(tmp_path):
    """A server of RTSP, and the class that handles its requests."""
    path = write_video(tmp_path / "camera.ts", 60)
    handler = type("Handler", (Camera,), {"content": path.read_bytes()})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler, f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_camera_of_the_network_is_read_by_its_password(camera, monkeypatch, caplog):
    monkeypatch.setattr(video, "_PAUSES_S", ())
    handler, place = camera
    handler.user, handler.password = "me", "secret"
    source = Video(f"rtsp://me:secret@{place}/door")
    with caplog.at_level(logging.WARNING):
        frames = list(source.frames())
    assert source.live and len(frames) + source.dropped > 50
    assert frames[0].seconds == 0
    for frame in frames:
        assert number_of(frame.pixels()) == frame.number % 12
        assert abs(frame.seconds - frame.number / 30) < 2e-3
    assert str(source) == f"rtsp://me:***@{place}/door"
    with pytest.raises(OSError, match="cannot read the stream: .*401") as fault:
        list(Video(f"rtsp://me:wrong@{place}/door").frames())
    assert "wrong" not in str(fault.value) and "secret" not in caplog.text


def test_a_camera_that_hangs_up_is_called_again(camera, monkeypatch, caplog):
    monkeypatch.setattr(video, "_PAUSES_S", (0.05,))
    handler, place = camera
    source, numbers = Video(f"rtsp://{place}/door"), []
    with caplog.at_level(logging.WARNING):
        for frame in source.frames():
            numbers.append(frame.number)
            if handler.served == 3 and len(numbers) > 100:
                break
    assert source.lost >= 2
    assert numbers == sorted(set(numbers))
    assert "it is opened again" in caplog.text
