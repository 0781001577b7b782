"""HTTP/2 for a server on loopback, as far as the client's tests need it: every request gets the same answer."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from tests.support.loopback import Caller, Speak


def speaking_http2(*headers: tuple[str, str]) -> Speak:
    async def speak(caller: Caller) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        await caller.say(connection.data_to_send())
        while content := await caller.reader.read(65_536):
            for event in connection.receive_data(content):
                if isinstance(event, RequestReceived):
                    connection.send_headers(event.stream_id, [(":status", "200"), *headers])
                    connection.send_data(event.stream_id, b"page", end_stream=True)
            await caller.say(connection.data_to_send())

    return speak
