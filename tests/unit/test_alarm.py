"""What one worker has found out, all know."""

import math
import os
import time

from serving.alarm import Alarm


def test_one_that_was_never_sounded_is_silent() -> None:
    assert Alarm().last == -math.inf
    assert Alarm.of("nobody", "1").last == -math.inf


def test_it_is_that_of_one_version() -> None:
    Alarm.of("quiet", "1").sound(5.0)
    assert Alarm.of("quiet", "1").last == 5.0
    assert Alarm.of("quiet", "2").last == -math.inf
    assert Alarm().last == -math.inf


def test_workers_that_were_forked_hear_each_other_by_one_clock() -> None:
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        Alarm.of("loud", "1").sound(time.perf_counter())
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert began < Alarm.of("loud", "1").last < time.perf_counter()
