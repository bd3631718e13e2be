"""Whether this process was asked to stop. Long work looks at it and hands itself back."""

import threading

stopping = threading.Event()
