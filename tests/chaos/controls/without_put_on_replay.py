"""A worker that sends the pending commands of a replayed record, but does not put the record again.

Nor does it when it meets a record for the first time in an epoch, which is the second chance.
"""

from service.cli import main
from tests.simulation.controls import no_put_on_replay

if __name__ == "__main__":
    with no_put_on_replay():
        main()
