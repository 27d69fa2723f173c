"""The process of the command line: ``gnomon``, and ``python -m gnomon``."""

import sys
import time

from gnomon.run.interrupt import end_at_signals


def main() -> int:
    """Run the command of this process; returns the exit code."""
    began = time.monotonic()
    hints = ["nothing has begun: the same command begins anew"]
    end_at_signals(lambda: f"error: stopped\nhint: {hints[-1]}")
    from gnomon import cli  # signals are heard while it loads
    from gnomon.cli.terminal import quiet

    quiet()
    hints.append(cli.how_to_go_on(sys.argv[1:]))
    return cli.main(began=began)


if __name__ == "__main__":
    sys.exit(main())
