"""A camera on the network: an RTSP server that sends a transport stream over TCP."""

import base64
import socketserver
import struct
import time

TS_PACKET = 188
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 33\r\na=rtpmap:33 MP2T/90000\r\na=control:track\r\n"
)


class Camera(socketserver.BaseRequestHandler):
    """Sends `content` once for each client and hangs up, at `pace_s` a packet.

    With `user` and `password`, nobody else is answered.
    """

    content = b""
    pace_s = 0.002
    user = password = ""
    served = 0

    def handle(self):
        while request := self._request():
            method, number, allowed = request
            if not allowed:
                self._answer(
                    "401 Unauthorized", number, 'WWW-Authenticate: Basic realm="x"'
                )
            elif method == "DESCRIBE":
                self._answer(
                    "200 OK", number, "Content-Type: application/sdp", body=SDP
                )
            elif method == "SETUP":
                way = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
                self._answer("200 OK", number, "Session: 1", way)
            else:
                public = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
                self._answer("200 OK", number, "Session: 1", public)
            if method == "PLAY" and allowed:
                type(self).served += 1
                return self._send()

    def _request(self):
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            received = self.request.recv(1)
            if not received:
                return None
            text += received
        lines = text.decode().splitlines()
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        word = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        allowed = not self.user or fields.get("Authorization") == f"Basic {word}"
        return lines[0].split()[0], fields["CSeq"], allowed

    def _answer(self, status, number, *fields, body=""):
        head = [f"RTSP/1.0 {status}", f"CSeq: {number}", *fields]
        head.append(f"Content-Length: {len(body)}")
        self.request.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode())

    def _send(self):
        size = 7 * TS_PACKET
        for index, first in enumerate(range(0, len(self.content), size)):
            chunk = self.content[first : first + size]
            header = struct.pack(">BBHII", 0x80, 33, index & 0xFFFF, 90 * index, 1)
            packet = header + chunk
            self.request.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
            time.sleep(self.pace_s)
